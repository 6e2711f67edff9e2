"""Streams of real `web` processes: what one of them does, the listeners of the other hear; and a stop is no end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import httpx
import pytest
from feed import Feed, open_feed, reading
from inside import own_database, own_redis, two_keys
from pooler import direct
from redis.asyncio import Redis
from stack import Stack, api_client, open_stack

from roadmap.database import Database, Pool, open_database
from roadmap.embedded.servers import LocalServers
from roadmap.queue.client import Queue, open_queue


@dataclass(frozen=True, slots=True)
class Pair:
    """Two `web` processes over the same servers, and a client of each."""

    stack: Stack
    db: Database
    queue: Queue
    redis_url: str
    here: httpx.AsyncClient
    there: httpx.AsyncClient


@pytest.fixture(scope="module")
async def pair(
    servers: LocalServers, admin: asyncpg.Connection, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    redis_url = own_redis(servers, 1003)
    async with (
        own_database(servers, admin, template, "events_pair") as database_url,
        open_database(Pool(direct(database_url), 2, "tests")) as db,
        open_queue(redis_url) as queue,
        open_stack(tmp_path_factory.mktemp("pair"), database_url, redis_url) as stack,
    ):
        key, _ = await two_keys(db)
        await stack.start("web", "web:second")
        async with (
            api_client(stack.web_url, key) as here,
            api_client(stack.url("web:second"), key) as there,
        ):
            yield Pair(stack, db, queue, redis_url, here, there)


@pytest.fixture
async def feed(pair: Pair) -> Feed:
    return await open_feed(pair.here, pair.db, pair.queue)


async def test_what_one_process_does_the_other_tells_at_once(pair: Pair, feed: Feed) -> None:
    async with reading(pair.there, feed.path) as frames:
        assert (await anext(frames)).id == "1"
        await feed.end()  # in the process here
        async with asyncio.timeout(1):
            assert [frame.event async for frame in frames] == ["run.canceled"]


async def test_what_one_process_does_the_other_tells_although_redis_lost_it(pair: Pair, feed: Feed) -> None:
    async with Redis.from_url(pair.redis_url) as redis, reading(pair.there, feed.path) as frames:
        assert (await anext(frames)).id == "1"
        await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await redis.flushdb()
        await feed.end()
        async with asyncio.timeout(3):
            assert [frame.event async for frame in frames] == ["run.canceled"]


async def test_a_reader_goes_on_in_the_other_process(pair: Pair, feed: Feed) -> None:
    received: list[str] = []
    for client in (pair.here, pair.there) * 5:
        await feed.tell(2)
        async with reading(client, feed.path, len(received)) as frames:
            received += [(await anext(frames)).id, (await anext(frames)).id]
    assert received == [str(seq) for seq in range(1, 21)]


async def test_a_process_that_stops_says_bye_and_ends_soon(pair: Pair, feed: Feed) -> None:
    """The last test of this file: the second process is gone afterwards."""
    await feed.tell(2)
    async with reading(pair.there, feed.path) as frames:
        assert [(await anext(frames)).id for _ in range(3)] == ["1", "2", "3"]
        assert await pair.stack.terminate("web:second", within=3) == 0
        assert [(frame.event, frame.data) async for frame in frames] == [("bye", "{}")]
    await feed.tell(1)
    await feed.end()
    async with reading(pair.here, feed.path, 3) as frames:
        assert [frame.id async for frame in frames] == ["4", "5"]
    assert "Traceback" not in pair.stack["web:second"].text()
