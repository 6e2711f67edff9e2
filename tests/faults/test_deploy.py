"""F27: a deploy replaces every process while people go on using the service, and nobody notices."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from balancer import Balancer, Traffic, at_rate, balancing, follow
from history import History
from httpx_sse import aconnect_sse
from stack import api_client
from waiting import eventually
from whole import Whole, check_run, offline, open_whole

RATE = 50  # requests a second
# Of so many requests one creates a roadmap, and of as many creations one is followed.
CREATED, FOLLOWED = 50, 3
WISH = {"goal": "Learn SQL in two weeks", "size": "small", "kinds": ["resources"]}


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url, AUTH_MODE="none") as opened:
        opened.model.default = offline(0.3)
        yield opened


class People:
    """Who use the service: they read and read, now and then they create a roadmap, and some follow its events."""

    def __init__(self, whole: Whole, balancer: Balancer) -> None:
        self.followed: list[list[int]] = []
        self._whole = whole
        self._balancer = balancer

    async def ask(self, traffic: Traffic, number: int) -> None:
        if number % CREATED == 0:
            await self._create(traffic, number // CREATED)
        elif number % 2 or not self._whole.accepted:
            await traffic.ask(self._balancer, "GET", "/v1/roadmaps?limit=10")
        else:
            await traffic.ask(self._balancer, "GET", f"/v1/roadmaps/{self._whole.accepted[-1]}")

    async def _create(self, traffic: Traffic, number: int) -> None:
        answer = await traffic.ask(self._balancer, "POST", "/v1/roadmaps", json=WISH)
        if answer is None:
            return
        self._whole.accepted.append(answer.json()["id"])
        if number % FOLLOWED == 0:
            self.followed.append(await follow(self._balancer, traffic, answer.json()["links"]["events"]))


async def roll(whole: Whole, balancer: Balancer) -> None:
    """A new process beside each old one, which is told to stop meanwhile; first `web`, one after another."""
    for old, new in (("web", "web:third"), ("web:second", "web:fourth")):
        async with asyncio.TaskGroup() as group:
            group.create_task(start(whole, balancer, new))
            group.create_task(stop(whole, old))
    for old in ("content", "logs"):
        await whole.stack.start(f"{old}:second")
        await stop(whole, old)


async def start(whole: Whole, balancer: Balancer, name: str) -> None:
    await whole.stack.start(name)
    await balancer.add(whole.stack.url(name))


async def stop(whole: Whole, name: str) -> None:
    assert await whole.stack.terminate(name, within=40) == 0
    assert "Traceback" not in whole.stack[name].text()


@pytest.mark.fault("F27")
async def test_a_web_that_is_told_to_stop_serves_until_its_balancer_had_time_to_see_it(whole: Whole) -> None:
    await whole.stack.start("web")
    events = f"/v1/roadmaps/{await whole.create(**WISH)}/events"
    async with api_client(whole.stack.web_url) as client, aconnect_sse(client, "GET", events) as stream:
        frames = (frame.event async for frame in stream.aiter_sse() if frame.data)
        assert await anext(frames) == "run.queued"
        assert (await client.get("/ready")).status_code == 200
        whole.stack["web"].signal(signal.SIGTERM)
        await eventually(lambda: turns_away(client), "it says that it leaves")
        answer = await client.get("/v1/roadmaps")
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert await anext(frames) == "bye", "and only then streams go elsewhere"
    assert await whole.stack["web"].exits() == 0


async def turns_away(client: httpx.AsyncClient) -> bool:
    return (await client.get("/ready")).status_code == 503


@pytest.mark.fault("F27")
@pytest.mark.parametrize("seen", [False, True])
async def test_a_web_leaves_at_once_when_no_balancer_looks_or_when_told_twice(whole: Whole, seen: bool) -> None:
    await whole.stack.start("web", SHUTDOWN_DRAIN="60", SHUTDOWN_GRACE="120")
    if seen:
        async with api_client(whole.stack.web_url) as client:
            await client.get("/ready")
            whole.stack["web"].signal(signal.SIGTERM)
            await eventually(lambda: turns_away(client), "it drains")
    assert await whole.stack.terminate("web", within=20) == 0


@pytest.mark.fault("F27")
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_rolling_deploy_at_fifty_requests_a_second_fails_none_of_them(whole: Whole, history: History) -> None:
    await whole.stack.start("web", "web:second", "content", "logs")
    async with balancing() as balancer:
        for name in ("web", "web:second"):
            await balancer.add(whole.stack.url(name))
        people = People(whole, balancer)
        began = time.monotonic()
        async with at_rate(RATE, people.ask) as traffic:
            await eventually(lambda: traffic.answered > 2 * RATE, "the service is used")
            await roll(whole, balancer)
            await eventually(lambda: people.followed, "a stream was followed to its end")
        seconds = time.monotonic() - began
        served = [backend.served for backend in balancer.backends.values()]
    assert traffic.failures == []
    assert traffic.answered > 0.8 * RATE * seconds
    assert min(served) > RATE, "each of the four had its share"
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in people.followed)
    await history.settle(within=120)
    for roadmap_id in whole.accepted:
        await check_run(whole.db, roadmap_id)
    await history.check()
