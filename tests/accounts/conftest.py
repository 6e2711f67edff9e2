"""The application in this process, over a database of each test's own."""

from collections.abc import AsyncIterator

import pytest
from inside import Api, open_api


@pytest.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with open_api(database_url, redis_url) as opened:
        yield opened
