"""A stranger's web site on this machine, and a fetcher that trusts its certificate."""

from collections.abc import AsyncIterator

import pytest
from page_server import PageServer, page_server

from roadmap.outbound.fetch import Fetcher, open_fetcher


@pytest.fixture
async def site() -> AsyncIterator[PageServer]:
    async with page_server() as running:
        yield running


@pytest.fixture
async def fetcher(site: PageServer) -> AsyncIterator[Fetcher]:
    async with open_fetcher(site.guard, site.look_up, site.trust) as opened:
        yield opened
