"""F30: a flood of log entries over a slow PostgreSQL slows nobody, takes bounded memory, and is counted to the last."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from pooler import direct
from stack import Child, api_client
from whole import Whole, open_whole

PRODUCER = (sys.executable, str(Path(__file__).with_name("flooding_producer.py")))
RATE, SECONDS = 50_000, 10
ERRORS = RATE * SECONDS // 1_000
# Bytes: 20 MB of entries that wait, 20 MB that are on their way, and what Python adds.
MEMORY = 120_000_000
SLOW = """
CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER INSERT ON execution_log FOR EACH STATEMENT EXECUTE FUNCTION take_time()
"""
STORED = """
SELECT count(*) AS entries, count(DISTINCT id) AS ids, count(DISTINCT details->>'number') AS numbers,
    count(*) FILTER (WHERE level = 'error') AS errors, count(*) FILTER (WHERE level = 'debug') AS debug
FROM execution_log WHERE run_id = $1
"""
WISH = {"goal": "Learn SQL", "size": "small"}


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url, AUTH_MODE="none", LOG_LEVEL="info") as opened:
        yield opened


@asynccontextmanager
async def slow_log(url: str) -> AsyncIterator[None]:
    """Half a second more for every statement that writes entries."""
    connection = await asyncpg.connect(direct(url))
    try:
        await connection.execute(SLOW)
        yield
        await connection.execute("DROP TRIGGER slow ON execution_log")
    finally:
        await connection.close()


class Caller:
    """Somebody who uses the API all the time: `answers` by status, and how long each took."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.statuses: set[int] = set()
        self.seconds: list[float] = []
        self._client = client

    async def stay(self) -> None:
        """For ever."""
        while True:
            links = (await self._ask("POST", "/v1/roadmaps", json=WISH)).json()["links"]
            for path in ("/v1/roadmaps", links["self"], links["log"], "/health") * 3:
                await self._ask("GET", path)
            await self._ask("POST", links["cancel"])

    async def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        began = time.monotonic()
        answer = await self._client.request(method, path, **content)
        self.seconds.append(time.monotonic() - began)
        self.statuses.add(answer.status_code)
        await asyncio.sleep(0.05)
        return answer

    def within(self, share: float) -> float:
        """The time in which this share of the requests was answered."""
        return sorted(self.seconds)[int(share * len(self.seconds)) - 1]


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Caller]:
    async with api_client(url) as client, asyncio.TaskGroup() as group:
        caller = Caller(client)
        staying = group.create_task(caller.stay())
        try:
            yield caller
        finally:
            staying.cancel()


async def flooding(whole: Whole, run_id: str) -> Child:
    command = (*PRODUCER, run_id, str(RATE), str(SECONDS))
    return await whole.stack.launch("flood", command=command, LOG_LEVEL="warning")


@pytest.mark.fault("F30")
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_flood_of_entries_over_a_slow_postgresql_is_bounded_counted_and_nobody_elses_trouble(
    whole: Whole,
) -> None:
    await whole.create()
    run_id = await whole.db.fetchval("SELECT id FROM runs")
    await whole.stack.start("web", "logs")
    async with slow_log(whole.database_url), calling(whole.stack.web_url) as caller:
        flood = await flooding(whole, str(run_id))
        flooded = await flood.says("flooded", within=120)
    await flood.says("settled", within=200)
    assert await whole.stack.terminate("flood") == 0
    closed = await flood.says("closed")
    stored: Any = await whole.db.fetchrow(STORED, run_id)
    # Whoever uses the API notices nothing.
    assert caller.statuses <= {200, 202}
    assert caller.within(0.99) < 3, "on a busy machine"
    # Memory is bounded, and what had no room was counted.
    assert closed["peak"] - flooded["before"] < MEMORY
    assert (closed["noted"], closed["spilled"]) == (RATE * SECONDS, 0)
    assert flooded["dropped"] > 0
    # What was acknowledged is stored, once; nothing else is.
    assert closed["written"] == closed["sent"] == closed["noted"] - closed["dropped"]
    assert stored["entries"] == stored["ids"] == stored["numbers"] == closed["written"]
    # The least important went first.
    assert stored["errors"] == ERRORS
