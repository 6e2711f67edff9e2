"""One service for the pages' tests, which only look at it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from inside import own_database, own_redis
from service import Service, open_service

from roadmap.embedded.servers import LocalServers


@pytest.fixture(scope="session")
async def service(servers: LocalServers, admin: asyncpg.Connection, template: str) -> AsyncIterator[Service]:
    async with (
        own_database(servers, admin, template, "pages") as database_url,
        open_service(database_url, own_redis(servers, 1015)) as opened,
    ):
        yield opened


@pytest.fixture
async def own(database_url: str, redis_url: str) -> AsyncIterator[Service]:
    """One of this test's own, to change it."""
    async with open_service(database_url, redis_url) as opened:
        yield opened
