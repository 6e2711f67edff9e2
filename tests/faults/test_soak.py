"""Ten minutes of everything at once: learners at work, and a fault every few seconds. Then nothing may be amiss.

SOAK_SECONDS says for how long, SOAK_SEED which faults: the same seed gives the same faults at the same times.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from history import watched
from mischief import FAULTS, PROCESSES, Ground, Provider, do, heal, plan
from soak import Learner, Load
from stack import authorization
from tcp_proxy import TcpProxy, tcp_proxy
from whole import open_whole

from roadmap.accounts.keys import create_key
from roadmap.embedded.postgres import PostgresServer
from roadmap.embedded.redis import RedisServer

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
LEARNERS = 6
FEWEST = 20  # roadmaps
LEASE = 3.0
HEALED_WITHIN = 150.0
REQUEST_WITHIN = 15.0
SETTINGS = {
    "LEASE": str(LEASE),
    "CONTENT_CONCURRENCY": "20",
    "SHUTDOWN_GRACE": "8",
    "LLM_TIMEOUT": "10",
    "AUTH_MODE": "keys",
    "REPLICAS_WEB": "2",
    "REPLICAS_CONTENT": "2",
    "REPLICAS_LOGS": "2",
}


def test_a_seed_gives_the_same_faults_at_the_same_times_and_leaves_none_out() -> None:
    first, again, other = (list(islice(plan(seed), 500)) for seed in (7, 7, 8))
    assert first == again != other
    assert {planned.fault for planned in first} == set(FAULTS)
    assert {planned.target for planned in first} == set(PROCESSES)


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 900)
async def test_whatever_happens_every_roadmap_comes_to_its_end(
    tmp_path: Path, own_postgres: PostgresServer, own_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("SOAK_SEED") or random.randrange(10**6))
    again = f"SOAK_SEED={seed} SOAK_SECONDS={SECONDS:.0f}"
    with capsys.disabled():
        print(f"\n{again}")
    async with _ground(tmp_path, own_postgres, own_redis, seed) as ground:
        await ground.whole.stack.start(*PROCESSES)
        load = Load(ground.whole.accepted)
        with suppress(TimeoutError):  # what has not ended by then is found by the checker
            async with asyncio.timeout(SECONDS + HEALED_WITHIN):
                await _live(ground, load, seed)
        figures, complaints = await ground.history.conclude(f"soak, seed {seed}", within=HEALED_WITHIN)
        faults = "\n".join(ground.history.tell())
    with capsys.disabled():
        print(f"{faults}\n{figures}\nanswers {dict(load.answers)}, runs {dict(load.ended)}")
    wrong = "\n".join([*complaints, *load.faults])
    assert wrong == "", f"{again}\n{wrong}"
    assert figures.roadmaps == len(set(load.accepted)) >= FEWEST


async def _live(ground: Ground, load: Load, seed: int) -> None:
    end = time.monotonic() + SECONDS
    async with _learners(ground, load, seed) as learners, asyncio.TaskGroup() as group:
        group.create_task(_misbehave(ground, seed, end))
        for learner in learners:
            group.create_task(learner.learn(lambda: time.monotonic() < end or len(load.accepted) < FEWEST))


async def _misbehave(ground: Ground, seed: int, end: float) -> None:
    """Faults may overlap; all of them are over, and healed, when this returns."""
    async with asyncio.TaskGroup() as group:
        for planned in plan(seed):
            if time.monotonic() + planned.pause >= end:
                break
            await asyncio.sleep(planned.pause)
            group.create_task(do(ground, planned))
    await heal(ground)


@asynccontextmanager
async def _learners(ground: Ground, load: Load, seed: int) -> AsyncIterator[list[Learner]]:
    async with AsyncExitStack() as opened:
        learners = []
        for n in range(LEARNERS):
            key = await create_key(ground.whole.db, f"{n}@example.org", "soak", None)
            headers = authorization(key.secret)
            client = await opened.enter_async_context(httpx.AsyncClient(headers=headers, timeout=REQUEST_WITHIN))
            learners.append(Learner(ground.whole.stack, load, client, random.Random(f"{seed} learner {n}")))
        yield learners


@asynccontextmanager
async def _ground(folder: Path, postgres: PostgresServer, redis: RedisServer, seed: int) -> AsyncIterator[Ground]:
    """Our processes reach the servers by way of proxies; the test itself reaches them directly."""
    async with AsyncExitStack() as opened:
        postgres_way = await opened.enter_async_context(_way_to(postgres.url))
        redis_way = await opened.enter_async_context(_way_to(redis.url))
        urls = {"DATABASE_URL": postgres_way.through(postgres.url), "REDIS_URL": redis_way.through(redis.url)}
        whole = await opened.enter_async_context(open_whole(folder, postgres.url, redis.url, **SETTINGS, **urls))
        whole.model.default = provider = Provider(random.Random(f"{seed} provider"))
        history = await opened.enter_async_context(watched(whole, lease=LEASE))
        yield Ground(whole, history, postgres, redis, postgres_way, redis_way, provider)


@asynccontextmanager
async def _way_to(url: str) -> AsyncIterator[TcpProxy]:
    parts = urlsplit(url)
    async with tcp_proxy(str(parts.hostname), parts.port or 0) as proxy:
        yield proxy
