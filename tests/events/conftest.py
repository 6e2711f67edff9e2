"""The application in this process, over a database of each test's own, and on a socket for streams."""

from collections.abc import AsyncIterator

import pytest
from feed import Feed, open_feed
from inside import Api, open_api, serving


@pytest.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with open_api(database_url, redis_url) as opened:
        yield opened


@pytest.fixture
async def url(api: Api) -> AsyncIterator[str]:
    async with serving(api.state) as served:
        yield served


@pytest.fixture
async def feed(api: Api) -> Feed:
    return await open_feed(api.alice, api.db, api.state.runtime.queue)
