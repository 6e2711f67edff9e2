"""P7: a client that reconnects misses nothing."""

import asyncio
import random
from contextlib import AsyncExitStack

import httpx
import pytest
from feed import Feed, read, reading, seqs
from inside import Api
from redis.asyncio import Redis
from stack import api_client
from waiting import eventually

from roadmap.errors import TooMany
from roadmap.events.endpoints import MOST_STREAMS_OF_ONE, _stream
from roadmap.events.hub import BACKLOG
from roadmap.ids import new_id

ROUNDS = 30
LISTENERS = 200


async def test_a_late_reader_gets_everything_from_the_first_event_on(api: Api, url: str, feed: Feed) -> None:
    await feed.tell(5)
    await feed.end()
    async with api_client(url, api.keys[0]) as client:
        events = await read(client, feed.path)
    assert seqs(events) == list(range(1, 8))
    assert (events[0]["type"], events[-1]["type"]) == ("run.queued", "run.canceled")
    assert all(event["payload"]["run_id"] == feed.run_id for event in events)


async def test_a_reader_is_told_at_once(api: Api, url: str, feed: Feed) -> None:
    async with api_client(url, api.keys[0]) as client, reading(client, feed.path, 1) as frames:
        await eventually(lambda: api.state.hub.count() == 1, "the stream is open")
        for seq in (2, 3):
            await feed.tell(1)
            async with asyncio.timeout(1):  # less than the look at the counters
                frame = await anext(frames)
            assert (frame.event, frame.id, frame.retry) == ("run.step", str(seq), None)


async def test_a_terminal_event_ends_the_stream(api: Api, url: str, feed: Feed) -> None:
    async with api_client(url, api.keys[0]) as client, asyncio.TaskGroup() as group:
        stream = group.create_task(read(client, feed.path))
        await eventually(lambda: api.state.hub.count() == 1, "the stream is open")
        await feed.end()
    assert [event["type"] for event in stream.result()] == ["run.queued", "run.canceled"]


@pytest.mark.parametrize("seed", range(3))
async def test_a_reader_who_is_cut_off_at_random_misses_nothing(api: Api, url: str, feed: Feed, seed: int) -> None:
    chance = random.Random(seed)
    told = asyncio.create_task(tell_at_random(feed, chance))
    received: list[int] = []
    async with api_client(url, api.keys[0]) as client:
        while not await read_some(client, feed.path, received, chance.randrange(1, 5)):
            pass
    await told
    last = await feed.db.fetchval("SELECT event_seq FROM roadmaps WHERE id = $1", feed.roadmap_id)
    assert received == list(range(1, last + 1))


async def read_some(client: httpx.AsyncClient, path: str, received: list[int], count: int) -> bool:
    """Hangs up after `count` events; whether the last of all was among them."""
    async with reading(client, path, received[-1] if received else None) as frames:
        async for frame in frames:
            received.append(int(frame.id))
            count -= 1
            if frame.event == "run.canceled" or not count:
                return frame.event == "run.canceled"
    return False


async def tell_at_random(feed: Feed, chance: random.Random) -> None:
    """About two events a round; a fifth of the publishes get lost, but not the last one."""
    for _ in range(ROUNDS):
        await feed.tell(chance.randrange(1, 4), aloud=chance.random() < 0.8)
        await asyncio.sleep(chance.random() * 0.01)
    await feed.end()


async def test_nothing_new_and_nothing_coming_is_204(api: Api, url: str, feed: Feed) -> None:
    await feed.end()
    headers = {"Last-Event-ID": "2", "Accept": "text/event-stream"}
    async with api_client(url, api.keys[0]) as client:
        answer = await client.get(feed.path, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")


async def test_a_reader_of_an_active_run_waits_with_nothing_new(api: Api, url: str, feed: Feed) -> None:
    async with api_client(url, api.keys[0]) as client, reading(client, feed.path, 1) as frames:
        await eventually(lambda: api.state.hub.count() == 1, "the stream is open")
        await feed.end()
        assert [frame.event async for frame in frames] == ["run.canceled"]


async def test_after_is_for_clients_that_cannot_send_the_header(api: Api, url: str, feed: Feed) -> None:
    await feed.tell(3)
    await feed.end()
    async with api_client(url, api.keys[0]) as client:
        assert seqs(await read(client, f"{feed.path}?after=3")) == [4, 5]
        assert seqs(await read(client, f"{feed.path}?after=1", last_event_id=4)) == [5]


async def test_a_lost_publish_costs_seconds_and_no_event(api: Api, url: str, feed: Feed) -> None:
    async with api_client(url, api.keys[0]) as client, reading(client, feed.path, 1) as frames:
        await eventually(lambda: api.state.hub.count() == 1, "the stream is open")
        await feed.tell(1, aloud=False)
        async with asyncio.timeout(3):
            assert (await anext(frames)).id == "2"


@pytest.mark.fault("F11")
async def test_a_lost_subscription_costs_seconds_and_no_event(api: Api, url: str, feed: Feed, redis_url: str) -> None:
    async with (
        Redis.from_url(redis_url) as redis,
        api_client(url, api.keys[0]) as client,
        reading(client, feed.path, 1) as frames,
    ):
        await eventually(lambda: api.state.hub.count() == 1, "the stream is open")
        await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await redis.flushdb()
        await feed.tell(1)
        async with asyncio.timeout(3):
            assert (await anext(frames)).id == "2"


@pytest.mark.fault("F31")
async def test_many_listeners_cost_one_subscription_and_are_forgotten(
    api: Api, url: str, feed: Feed, redis_url: str
) -> None:
    async with Redis.from_url(redis_url) as redis, api_client(url, api.keys[0]) as client:
        before = await redis.info("clients")
        async with asyncio.TaskGroup() as group:
            streams = [group.create_task(read(client, feed.path)) for _ in range(LISTENERS)]
            await eventually(lambda: api.state.hub.count() == LISTENERS, "all streams are open")
            within = await redis.info("clients")
            await feed.tell(3)
            await feed.end()
        await eventually(lambda: api.state.hub.count() == 0, "the listeners are forgotten")
    assert within["pubsub_clients"] == before["pubsub_clients"]
    assert {tuple(seqs(stream.result())) for stream in streams} == {(1, 2, 3, 4, 5)}


@pytest.mark.fault("F31")
async def test_readers_who_leave_are_forgotten(api: Api, url: str, feed: Feed) -> None:
    async with api_client(url, api.keys[0]) as client:
        for _ in range(5):
            async with reading(client, feed.path) as frames:
                await anext(frames)
    await eventually(lambda: api.state.hub.count() == 0, "the listeners are forgotten")


async def test_the_stream_says_what_proxies_must_know(api: Api, url: str, feed: Feed) -> None:
    await feed.tell(100)
    await feed.end()
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip"}
    async with api_client(url, api.keys[0]) as client:
        answer = await client.get(feed.path, headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in answer.headers
    assert "retry: 3000" in answer.text


def test_a_quiet_stream_is_kept_alive_through_proxies(api: Api) -> None:
    assert _stream(api.state.hub, new_id(), 0, new_id()).ping_interval == 15


async def test_a_head_request_opens_no_stream(api: Api, url: str, feed: Feed) -> None:
    async with api_client(url, api.keys[0]) as client:
        answer = await client.head(feed.path, headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert api.state.hub.count() == 0


@pytest.mark.fault("F31")
async def test_a_reader_who_takes_nothing_is_cut_and_resumes(api: Api, url: str, feed: Feed) -> None:
    """It is the socket that is full: 25 MB wait for a reader who reads none."""
    count = 2 * BACKLOG + 500
    for _ in range(count // 100):
        await feed.tell(100, step="x" * 10_000, aloud=False)
    await feed.end()
    async with api_client(url, api.keys[0]) as client:
        async with client.stream("GET", feed.path, headers={"Accept": "text/event-stream"}):
            await eventually(lambda: api.state.hub.count() == 1, "the stream is open")
            await eventually(lambda: api.state.hub.count() == 0, "the stream is cut", within=15)
        received: list[int] = []
        while not received or received[-1] < count + 2:
            received += seqs(await read(client, feed.path, received[-1] if received else 0))
    assert received == list(range(1, count + 3))


async def test_one_caller_cannot_take_every_stream(api: Api) -> None:
    greedy, other = new_id(), new_id()
    async with AsyncExitStack() as open_streams:
        for _ in range(MOST_STREAMS_OF_ONE):
            await open_streams.enter_async_context(api.state.hub.listen(new_id(), 0, greedy))
        with pytest.raises(TooMany, match="close some"):
            _stream(api.state.hub, new_id(), 0, greedy)
        _stream(api.state.hub, new_id(), 0, other)
    assert api.state.hub.count(greedy) == api.state.hub.count() == 0
