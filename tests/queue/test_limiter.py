"""What a provider allows: shared by processes, fair to a worker that dies, kept while Redis is away."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis_server import RedisServer
from structlog.testing import capture_logs
from waiting import eventually

from roadmap.queue.client import Queue, open_queue
from roadmap.queue.limiter import Limiter, Quota, open_limiter
from roadmap.queue.rates import Bucket, Rate

NAME = "api.example.org:small"
HOLDER = Path(__file__).with_name("slot_holder.py")


@asynccontextmanager
async def limiter_on(
    url: str, quota: Quota, *, replicas: int = 1, timeout: float = 2.0, namespace: str = ""
) -> AsyncIterator[Limiter]:
    """As in a process of its own: with its own connections."""
    async with (
        open_queue(url, timeout=timeout, namespace=namespace) as queue,
        open_limiter(queue, NAME, quota, replicas) as limiter,
    ):
        yield limiter


async def enter(limiter: Limiter, count: int, tokens: int = 0) -> list[UUID]:
    """Asks so often; returns the calls that got in."""
    calls = [uuid4() for _ in range(count)]
    admitted = []
    for call in calls:
        if await limiter.acquire(call, tokens) == 0:
            admitted.append(call)
        else:
            limiter.release(call, 0, asked=False)
    return admitted


def leave(limiter: Limiter, calls: Sequence[UUID], tokens: int = 0) -> None:
    for call in calls:
        limiter.release(call, tokens, asked=True)


async def slots(server: RedisServer, prefix: str = "") -> int:
    return int(await server.client.zcard(f"{prefix}limits:{NAME}:slots"))


async def left(server: RedisServer, count: int = 0) -> None:
    async def returned() -> bool:
        return await slots(server) == count

    await eventually(returned, f"{count} slots are taken")


async def test_two_processes_share_the_calls_at_once(server: RedisServer) -> None:
    quota = Quota(concurrency=5)
    async with limiter_on(server.url, quota) as first, limiter_on(server.url, quota) as second:
        held = await enter(first, 3)
        assert len(held) == 3
        assert len(await enter(second, 10)) == 2
        assert await enter(first, 1) == []
        leave(first, held[:2])
        await left(server, 3)
        assert len(await enter(second, 10)) == 2


async def test_two_processes_share_the_requests_of_a_minute(server: RedisServer) -> None:
    quota = Quota(requests=600)  # 60 at once, then 9 a second
    async with limiter_on(server.url, quota) as first, limiter_on(server.url, quota) as second:
        started = time.monotonic()
        got = 0
        while time.monotonic() - started < 2:
            for limiter in (first, second):
                calls = await enter(limiter, 1)
                leave(limiter, calls)
                got += len(calls)
        seconds = time.monotonic() - started
        assert 60 < got <= 60 + 9.1 * seconds + 1


async def test_tokens_are_set_aside_and_corrected_by_what_was_used(server: RedisServer) -> None:
    quota = Quota(tokens=60_000)  # 6,000 at once
    async with limiter_on(server.url, quota) as first, limiter_on(server.url, quota) as second:
        held = await enter(first, 3, 2_000)
        assert len(held) == 3
        assert await enter(second, 1, 2_000) == []
        leave(first, held[:1], 0)
        await left(server, 2)
        assert len(await enter(second, 3, 1_500)) == 1, "what a call did not use is there for the next"
        leave(first, held[1:2], 9_000)
        await left(server, 2)
        wait = await second.acquire(uuid4(), 1)
        assert 4 < wait < 9, "what it used beyond is charged"


async def test_a_call_that_asked_nothing_is_no_request(server: RedisServer) -> None:
    async with limiter_on(server.url, Quota(requests=10)) as limiter:
        for _ in range(20):
            (call,) = await enter(limiter, 1)
            limiter.release(call, 0, asked=False)
            await left(server)
        leave(limiter, await enter(limiter, 1))
        await left(server)
        assert await enter(limiter, 1) == []


async def test_a_call_larger_than_a_minute_is_let_in_alone(server: RedisServer) -> None:
    async with limiter_on(server.url, Quota(tokens=1_000)) as limiter:
        assert len(await enter(limiter, 1, 50_000)) == 1
        wait = await limiter.acquire(uuid4(), 1)
        assert 40 < wait < 70


async def test_usage_that_nobody_can_believe_costs_no_more_than_a_minute(server: RedisServer) -> None:
    async with limiter_on(server.url, Quota(tokens=1_000)) as limiter:
        leave(limiter, await enter(limiter, 1, 10), 10**9)
        await left(server)
        assert await limiter.acquire(uuid4(), 1) < 80


async def test_an_answer_that_was_lost_is_given_again_and_charged_once(server: RedisServer) -> None:
    async with limiter_on(server.url, Quota(concurrency=1, requests=10)) as limiter:
        call = uuid4()
        assert [await limiter.acquire(call, 0) for _ in range(5)] == [0] * 5
        assert await slots(server) == 1
        limiter.release(call, 0, asked=True)
        await left(server)


async def test_the_scripts_do_the_same_sums_as_the_bucket_of_one_process(server: RedisServer) -> None:
    async with limiter_on(server.url, Quota(tokens=30_000)) as limiter:
        bucket = Bucket(Rate.of(30_000))
        for cost in [100, 2_900, 500, 10_000, 1, 3_000]:
            call = uuid4()
            shared, alone = await limiter.acquire(call, cost), bucket.wait(cost)
            assert shared == pytest.approx(alone, abs=0.5)
            if not shared:
                bucket.take(cost)
            else:
                limiter.release(call, 0, asked=False)
            await asyncio.sleep(0.05)


async def test_a_canceled_question_leaves_nothing_behind(server: RedisServer) -> None:
    dice = random.Random(7)
    async with limiter_on(server.url, Quota(concurrency=3, requests=1_000, tokens=1_000)) as limiter:

        async def ask() -> None:
            call = uuid4()
            try:
                await limiter.acquire(call, 10)
                await asyncio.sleep(0.002)
            finally:
                limiter.release(call, 0, asked=False)

        for _ in range(200):
            asking = asyncio.create_task(ask())
            await asyncio.sleep(dice.random() * 0.004)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await left(server)
        assert limiter._calls == {}
        assert len(await enter(limiter, 4, 33)) == 3, "all tokens and slots are back"


async def test_while_redis_is_away_a_process_keeps_to_its_share(server: RedisServer) -> None:
    quota = Quota(concurrency=6, requests=400, tokens=100_000)
    async with limiter_on(server.url, quota, replicas=2) as limiter:
        assert len(await enter(limiter, 1)) == 1
        await server.kill()
        with capture_logs() as logs:
            assert len(await enter(limiter, 10)) == 2, "three at once, with the one that was there"
        assert [entry["event"] for entry in logs].count("limits_not_shared") == 1

    async with limiter_on(server.url, Quota(requests=200), replicas=2) as limiter:
        assert len(await enter(limiter, 50)) == 10, "a tenth of its hundred"
        assert 0 < await limiter.acquire(uuid4(), 0) < 1
    async with limiter_on(server.url, Quota(tokens=20_000), replicas=2) as limiter:
        assert len(await enter(limiter, 5, 500)) == 2, "a tenth of its ten thousand"


async def test_alone_too_what_was_not_used_comes_back(server: RedisServer) -> None:
    await server.kill()
    async with limiter_on(server.url, Quota(concurrency=2, tokens=10_000)) as limiter:
        for _ in range(20):
            calls = await enter(limiter, 2, 500)
            assert len(calls) == 2
            leave(limiter, calls, 0)


async def test_a_silent_redis_costs_each_question_little_and_soon_nothing(blackhole: str) -> None:
    async with limiter_on(blackhole, Quota(concurrency=10), replicas=2, timeout=0.3) as limiter:
        pauses = []
        for _ in range(6):
            started = time.monotonic()
            await enter(limiter, 1)
            pauses.append(time.monotonic() - started)
        assert max(pauses) < 1.5
        assert max(pauses[3:]) < 0.25, "less than a time-out"
        assert await enter(limiter, 1) == []


async def test_when_redis_is_back_it_hears_of_the_calls_that_began_without_it(server: RedisServer) -> None:
    quota = Quota(concurrency=6)
    async with limiter_on(server.url, quota, replicas=2) as first, limiter_on(server.url, quota, replicas=2) as second:
        await server.kill()
        mine = await enter(first, 3)
        theirs = await enter(second, 3)
        assert (len(mine), len(theirs)) == (3, 3)
        await server.start()

        async def is_shared() -> bool:
            assert await enter(first, 1) == [], "the other may not have told of its calls"
            return await slots(server) == 6

        await eventually(is_shared, "all calls are known")
        assert await enter(second, 1) == []
        leave(first, mine)
        await left(server, 3)
        assert len(await enter(first, 10)) == 3


async def test_an_emptied_redis_knows_the_calls_again_within_seconds(server: RedisServer) -> None:
    async with limiter_on(server.url, Quota(concurrency=4)) as limiter:
        held = await enter(limiter, 4)
        await server.client.flushall()
        await left(server, 4)
        leave(limiter, held)
        await left(server)


async def test_every_key_carries_the_namespace_and_expires(server: RedisServer) -> None:
    quota = Quota(5, 100, 100_000)
    async with limiter_on(server.url, quota, namespace="staging") as limiter:
        leave(limiter, await enter(limiter, 2, 100), 5_000)
        await enter(limiter, 1, 100)
        keys = await server.client.keys("*")
        assert sorted(keys) == [f"staging:limits:{NAME}:{part}".encode() for part in ("rates", "slots")]
        for key in keys:
            assert 0 < await server.client.pttl(key) <= 150_000


async def test_a_limiter_that_ends_returns_what_was_released_last(server: RedisServer) -> None:
    async with limiter_on(server.url, Quota(concurrency=4)) as limiter:
        leave(limiter, await enter(limiter, 4))
    assert await slots(server) == 0


async def test_a_slot_that_is_returned_wakes_who_waits(server: RedisServer) -> None:
    async with limiter_on(server.url, Quota(concurrency=1)) as limiter:
        (held,) = await enter(limiter, 1)
        waiting = uuid4()
        assert await limiter.acquire(waiting, 0) > 0
        limiter.release(held, 0, asked=True)
        started = time.monotonic()
        await limiter.changed(20)
        assert time.monotonic() - started < 5
        assert await limiter.acquire(waiting, 0) == 0


@pytest.mark.slow
async def test_what_a_killed_process_held_is_free_in_fifteen_seconds_and_what_lives_stays(server: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        limiter = await stack.enter_async_context(limiter_on(server.url, Quota(concurrency=4)))
        assert len(await enter(limiter, 2)) == 2
        holder = await asyncio.create_subprocess_exec(
            sys.executable, str(HOLDER), server.url, NAME, "4", stdout=asyncio.subprocess.PIPE
        )
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"2\n"
        holder.kill()
        await holder.wait()
        killed = time.monotonic()
        assert await enter(limiter, 1) == []
        taken: list[UUID] = []

        async def free() -> bool:
            taken.extend(await enter(limiter, 1))
            return len(taken) == 2

        await eventually(free, "the slots are free", within=40)
        assert 8 < time.monotonic() - killed < 17
        await asyncio.sleep(max(0.0, killed + 20 - time.monotonic()))
        assert await slots(server) == 4, "those of the living were renewed"
        assert await enter(limiter, 1) == []


@pytest.fixture
async def other(server: RedisServer) -> AsyncIterator[Queue]:
    async with open_queue(server.url, timeout=2) as opened:
        yield opened


async def test_two_names_do_not_meet(server: RedisServer, queue: Queue, other: Queue) -> None:
    quota = Quota(concurrency=1)
    async with open_limiter(queue, "a:small", quota, 1) as small, open_limiter(other, "a:large", quota, 1) as large:
        assert len(await enter(small, 2)) == 1
        assert len(await enter(large, 2)) == 1
