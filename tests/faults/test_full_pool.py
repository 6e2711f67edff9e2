"""Many more requests at once than the pool has connections: each is answered in time, and the pool never grows (I7)."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx
import pytest
from pooler import direct
from stack import Stack, api_client, open_stack

POOL = 5
REQUESTS = 200
# Seconds. What a statement may take in `web`, and what a request waits for a connection.
STATEMENT, ACQUIRE = 5.0, 3.0

SESSIONS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'roadmap-web'
"""


@dataclass(slots=True)
class Crowd:
    """The answers to requests that were made at once; `seconds` in ascending order."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    retry_after: set[str | None] = field(default_factory=set)

    async def ask(self, client: httpx.AsyncClient, times: int) -> None:
        for _ in range(times):
            await self._ask(client)

    async def _ask(self, client: httpx.AsyncClient) -> None:
        began = time.monotonic()
        answer = await client.get("/v1/roadmaps")
        self.seconds.append(time.monotonic() - began)
        self.statuses[answer.status_code] += 1
        if answer.status_code == 503:
            self.retry_after.add(answer.headers.get("retry-after"))

    def within(self, share: float) -> float:
        """The time in which this share of the requests was answered."""
        return sorted(self.seconds)[int(share * len(self.seconds)) - 1]


@pytest.fixture
async def web(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path, database_url, redis_url, AUTH_MODE="none", DB_POOL_WEB=str(POOL)) as stack:
        await stack.start("web")
        yield stack


@asynccontextmanager
async def counted(database_url: str) -> AsyncIterator[list[int]]:
    """Numbers of the process's sessions, taken all the time while the block runs."""
    samples: list[int] = []

    async def sample(connection: asyncpg.Connection) -> None:
        while True:
            samples.append(await connection.fetchval(SESSIONS))
            await asyncio.sleep(0.02)

    connection = await asyncpg.connect(direct(database_url))
    try:
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(sample(connection))
            yield samples
            sampling.cancel()
    finally:
        connection.terminate()


async def crowd(url: str, times: int = 1) -> Crowd:
    """Two hundred callers at once, each so many times."""
    gathered = Crowd()
    async with api_client(url) as client:
        await asyncio.gather(*(gathered.ask(client, times) for _ in range(REQUESTS)))
    return gathered


@pytest.mark.fault("F17")
async def test_two_hundred_requests_at_once_share_five_connections(web: Stack, database_url: str) -> None:
    async with counted(database_url) as samples:
        assert (await crowd(web.web_url, times=2)).statuses == {200: 2 * REQUESTS}
    assert len(samples) > 5
    assert max(samples) <= POOL


@pytest.mark.fault("F17")
async def test_while_every_connection_is_stuck_the_crowd_is_sent_away_in_time_and_then_served(
    web: Stack, database_url: str
) -> None:
    locker = await asyncpg.connect(direct(database_url))
    async with counted(database_url) as samples:
        await locker.execute("BEGIN; LOCK TABLE roadmaps")
        gathered = await crowd(web.web_url)
        assert gathered.statuses == {503: REQUESTS}
        assert gathered.retry_after <= {str(seconds) for seconds in range(1, 11)}
        # Five meet the statement's time-out, the others that of the pool; the rest is for a very busy machine.
        assert gathered.within(0.9) < ACQUIRE + 15
        assert gathered.within(1) < STATEMENT + 15
        await locker.execute("COMMIT")
        assert (await crowd(web.web_url)).statuses == {200: REQUESTS}
    locker.terminate()
    assert max(samples) <= POOL
