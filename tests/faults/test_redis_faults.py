"""Redis is emptied, killed, cut, frozen, mute, full, away: every accepted roadmap completes, the log is whole, and no
caller is kept waiting. The processes reach it through a proxy; the test itself does not."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from tcp_proxy import TcpProxy, tcp_proxy
from visitor import SERVICES, lived_through
from waiting import eventually
from whole import Whole, check_log, check_queues, check_run, offline, open_whole

from roadmap.embedded.redis import RedisServer

SLOWLY = {"CONTENT_CONCURRENCY": "5"}
BOUND = 2.0  # seconds for one answer of the API, on a busy machine; Redis may take 0.3 of it


@pytest.fixture
async def proxy(own_redis: RedisServer) -> AsyncIterator[TcpProxy]:
    async with tcp_proxy("127.0.0.1", urlsplit(own_redis.url).port or 0) as opened:
        yield opened


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, own_redis: RedisServer, proxy: TcpProxy) -> AsyncIterator[Whole]:
    """All three processes, behind the proxy, at a run that takes a while."""
    weather = {"REDIS_URL": proxy.through(own_redis.url), "AUTH_MODE": "none", **SLOWLY}
    async with open_whole(tmp_path, database_url, own_redis.url, **weather) as opened:
        opened.model.default = offline(0.2)
        await opened.stack.start(*SERVICES)
        yield opened


# ---- F9: emptied ----


@pytest.mark.fault("F9")
@pytest.mark.parametrize("log_too", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_redis_emptied_in_mid_run_loses_neither_the_run_nor_its_log(
    tmp_path: Path, database_url: str, redis_url: str, log_too: bool
) -> None:
    """The producers of the log wait for ten seconds before they send again what was lost."""
    async with open_whole(tmp_path, database_url, redis_url, **SLOWLY) as whole:
        whole.model.default = offline(0.1)
        await whole.stack.start("content", "logs")
        roadmap_id = await whole.create()
        for count in (6, 15):
            await whole.ready(count)
            await whole.redis.flushdb()
            await whole.pass_time()
        await whole.finish(roadmap_id, within=30)
        await check_run(whole.db, roadmap_id)
        if log_too:
            await check_log(whole.db, roadmap_id, within=20)
            await check_queues(whole.redis)


@pytest.mark.slow
@pytest.mark.fault("F9")
async def test_redis_killed_and_started_empty_in_mid_run_needs_no_restart_of_ours(
    whole: Whole, own_redis: RedisServer
) -> None:
    await whole.create()
    async with lived_through(whole, bound=BOUND):
        await whole.ready(10)
        await _kill(own_redis)
        await own_redis.start()
        await whole.pass_time()
        await whole.ready(20)


@pytest.mark.slow
@pytest.mark.fault("F9")
async def test_a_log_that_nobody_has_written_yet_survives_in_its_producers(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    async with open_whole(tmp_path, database_url, redis_url, **SLOWLY) as whole:
        await whole.stack.start("content")
        roadmap_id = await whole.create()
        await whole.finish(roadmap_id)
        assert await whole.redis.zcard("logs") > 0
        await whole.redis.flushdb()
        await whole.stack.start("logs")
        await check_log(whole.db, roadmap_id, within=30)
        await check_queues(whole.redis)


# ---- F10: away ----


@pytest.mark.slow
@pytest.mark.fault("F10")
async def test_a_roadmap_accepted_while_redis_is_away_is_made_when_it_is_back(
    tmp_path: Path, database_url: str, own_redis: RedisServer
) -> None:
    async with open_whole(tmp_path, database_url, own_redis.url) as whole:
        await whole.stack.start("content", "logs")
        await _kill(own_redis)
        roadmap_id = await whole.create()
        assert (await whole.api.get(f"/v1/roadmaps/{roadmap_id}")).json()["status"] == "queued"
        await own_redis.start()
        await whole.pass_time()
        await whole.finish(roadmap_id, within=25)
        await check_run(whole.db, roadmap_id)
        await check_log(whole.db, roadmap_id, within=20)


@pytest.mark.fault("F10")
@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(240)])])
async def test_while_redis_is_away_the_processes_live_and_answer_and_5_s_after_its_return_it_is_used(
    whole: Whole, own_redis: RedisServer, seconds: float
) -> None:
    async with lived_through(whole, bound=BOUND):
        await _kill(own_redis)
        await asyncio.sleep(seconds)  # this long is what the fault is
        await own_redis.start()
        began = time.monotonic()
        await _workers_are_back(whole)
        assert time.monotonic() - began < 6.5  # the longest pause of a back-off is 5 s
        await whole.pass_time()


# ---- F11: cut and frozen ----


@pytest.mark.fault("F11")
@pytest.mark.parametrize("rounds", [2, pytest.param(8, marks=[pytest.mark.slow, pytest.mark.timeout(240)])])
async def test_connections_cut_every_two_seconds_fail_no_request_and_no_run(
    whole: Whole, proxy: TcpProxy, rounds: int
) -> None:
    await whole.create()
    async with lived_through(whole, bound=BOUND):
        for number in range(rounds):
            await asyncio.sleep(1)  # the pace is what the fault is
            for kind in ("normal", "pubsub"):
                await whole.redis.client_kill_filter(_type=kind, skipme=True)
            await asyncio.sleep(1)
            if number % 2:
                proxy.half_close()
            else:
                await proxy.reset()


@pytest.mark.slow
@pytest.mark.fault("F11")
async def test_a_redis_that_pauses_fails_no_request_and_no_run(whole: Whole) -> None:
    await whole.create()
    await whole.ready(4)
    async with lived_through(whole, bound=BOUND):
        await whole.redis.client_pause(5_000)
        await asyncio.sleep(5)
        await whole.pass_time()


# ---- F12: mute ----


@pytest.mark.fault("F12")
@pytest.mark.parametrize("seconds", [3, pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(240)])])
async def test_a_mute_redis_holds_up_neither_callers_nor_work(whole: Whole, proxy: TcpProxy, seconds: float) -> None:
    """In 40 s the last of our connections has seen its time-out: that of a worker with nothing to do."""
    await whole.create()
    await whole.ready(4)
    async with lived_through(whole, bound=BOUND) as visitor:
        proxy.blackhole()
        await asyncio.sleep(seconds)
        assert _told_of_redis(whole, "web")
        assert _told_of_redis(whole, "content")
        count = len(visitor.visits)
        await eventually(lambda: len(visitor.visits) > count + 4, "callers are answered meanwhile", within=10)
        proxy.calm()
        await _workers_are_back(whole)
        await whole.pass_time()


@pytest.mark.slow
@pytest.mark.fault("F12")
@pytest.mark.timeout(240)
async def test_connections_that_a_gateway_forgot_are_given_up_within_45_seconds(whole: Whole, proxy: TcpProxy) -> None:
    """Idle ones too, on which nothing is expected for long: they would never know."""
    await whole.finish(await whole.create())
    async with lived_through(whole, bound=BOUND):
        await asyncio.sleep(2)  # everybody rests
        stranded = proxy.connections
        proxy.strand()
        began = time.monotonic()
        await _workers_are_back(whole, within=60)
        await _subscriptions_are_back(whole, within=60)
        assert time.monotonic() - began < 45
        assert stranded >= 5


# ---- F13: full ----


@pytest.mark.fault("F13")
async def test_a_full_redis_refuses_no_roadmap_and_holds_no_half_of_a_job(whole: Whole) -> None:
    await whole.create()
    await whole.ready(4)
    async with lived_through(whole, bound=BOUND) as visitor:
        await whole.redis.config_set("maxmemory", "1")
        count = len(visitor.accepted)
        assert await visitor.create()
        await eventually(lambda: whole.stack["web"].lines("redis_refused"), "a job is refused")
        assert len(visitor.accepted) > count
        assert await _half_written(whole.redis) == []
        await whole.redis.config_set("maxmemory", "0")
        await whole.pass_time()


# ---- what they look at ----


async def _workers_are_back(whole: Whole, *, within: float = 30.0) -> None:
    """Each blocks on its wake list, or has taken a job."""

    async def look() -> bool:
        waiting = sum(client["cmd"] == "blpop" for client in await whole.redis.client_list())
        busy = len([key async for key in whole.redis.scan_iter("arq:in-progress:*")])
        return waiting == 2 or (waiting == 1 and busy > 0)

    await eventually(look, "the workers are back", within=within)


async def _subscriptions_are_back(whole: Whole, *, within: float) -> None:
    """Of the content worker and of web."""
    for name in ("content", "web"):
        await eventually(
            lambda n=name: whole.stack[n].lines("subscription_lost"),  # type: ignore[misc]
            f"{name} has given its subscription up",
            within=within,
        )

    async def look() -> bool:
        return await _subscribers(whole) == [2, 2]

    await eventually(look, "they are subscribed again", within=within)


async def _subscribers(whole: Whole) -> list[int]:
    return [count for _, count in await whole.redis.pubsub_numsub("events", "canceled")]


def _told_of_redis(whole: Whole, name: str) -> bool:
    child = whole.stack[name]
    return bool(child.lines("redis_away") or child.lines("subscription_lost"))


async def _half_written(redis: Redis) -> list[bytes]:
    """Payloads of jobs that are on no queue."""
    queued = {job for queue in ("content", "logs") for job in await redis.zrange(queue, 0, -1)}
    return [key async for key in redis.scan_iter("arq:job:*") if key.removeprefix(b"arq:job:") not in queued]


async def _kill(server: RedisServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    await server.stop()
