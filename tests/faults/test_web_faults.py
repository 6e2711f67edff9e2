"""`web` is killed around what it accepts, and asked the same many times at once: what was accepted is made, once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from gate import commit_gate
from history import History, Mark
from stack import api_client, finish
from waiting import eventually
from whole import Whole, check_run, open_whole

from roadmap.accounts.keys import create_key

WISH = {"goal": "Learn SQL in six weeks", "size": "small", "kinds": ["tutorial"]}
ONE_KEY = {"Idempotency-Key": "the-same-for-all"}


@dataclass(frozen=True, slots=True)
class Door:
    """A whole with a `web` process, and how its learner comes in."""

    whole: Whole
    history: History
    secret: str

    @asynccontextmanager
    async def client(self, name: str = "web") -> AsyncIterator[httpx.AsyncClient]:
        async with api_client(self.whole.stack.url(name), self.secret) as client:
            yield client

    async def accepted(self) -> int:
        found: int = await self.whole.db.fetchval("SELECT count(*) FROM roadmaps")
        return found

    async def queued(self) -> int:
        return int(await self.whole.redis.zcard("content"))

    async def kill(self) -> None:
        self.history.fault("kill -9 web", Mark.HIDES)
        await self.whole.stack.kill("web")

    async def begun(self, *, within: float) -> None:
        """Waits until every roadmap is drafted."""
        waiting = "SELECT count(*) FROM runs WHERE status = 'queued'"

        async def look() -> bool:
            return await self.whole.db.fetchval(waiting) == 0

        await eventually(look, "every run is begun", within=within)


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url) as opened:
        yield opened


@pytest.fixture
async def door(whole: Whole, history: History) -> Door:
    key = await create_key(whole.db, "learner@example.org", "tests", None)
    await whole.stack.start("web")
    return Door(whole, history, key.secret)


@pytest.mark.fault("F8")
async def test_a_roadmap_is_made_although_its_web_died_right_after_the_202(door: Door) -> None:
    roadmap_id = await _accept_and_die(door)
    await door.whole.pass_time()
    await door.whole.stack.start("web", "content", "logs")
    await _check_made(door, roadmap_id)


@pytest.mark.fault("F8")
async def test_a_roadmap_is_made_although_its_web_died_before_the_enqueue(door: Door) -> None:
    await _die_before_the_enqueue(door)
    await door.whole.pass_time()
    await door.whole.stack.start("web", "content", "logs")
    await _check_made(door, await _ask_again(door))


@pytest.mark.fault("F8")
@pytest.mark.slow
async def test_what_a_killed_web_has_not_enqueued_is_begun_within_30_seconds(door: Door) -> None:
    await door.whole.stack.start("content", "logs")
    first = await _accept_and_die(door)
    await door.whole.stack.start("web")
    await _die_before_the_enqueue(door)
    await door.begun(within=30)
    await door.whole.stack.start("web")
    await _check_made(door, first, await _ask_again(door))


@pytest.mark.fault("F8")
async def test_a_request_that_died_before_its_commit_leaves_nothing_and_may_be_repeated(door: Door) -> None:
    async with commit_gate(door.whole.database_url, "roadmaps") as gate, door.client() as client:
        await gate.close()
        request = asyncio.create_task(client.post("/v1/roadmaps", json=WISH, headers=ONE_KEY))
        await gate.reached()
        await door.kill()
        with pytest.raises(httpx.TransportError):
            await request
    assert await door.accepted() == 0
    await door.whole.stack.start("web", "content", "logs")
    await _check_made(door, await _ask_again(door))


@pytest.mark.fault("F24")
async def test_fifty_equal_requests_at_two_processes_make_one_roadmap(door: Door) -> None:
    await door.whole.stack.start("web:second", "content", "logs")
    async with door.client() as first, door.client("web:second") as second:
        asked = [client.post("/v1/roadmaps", json=WISH, headers=ONE_KEY) for client in [first, second] * 25]
        answers = await asyncio.gather(*asked)
    made = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 409]
    assert len(made) + len(refused) == 50
    assert len({answer.json()["id"] for answer in made}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in made) == 1
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert await door.whole.db.fetchval("SELECT count(*) FROM runs") == 1
    assert await _ask_again(door) == made[0].json()["id"]
    await _check_made(door, made[0].json()["id"])


async def _accept_and_die(door: Door) -> str:
    """The job cannot have been enqueued."""
    before = await door.queued()
    async with door.whole.no_writes_in_redis(), door.client() as client:
        answer = await client.post("/v1/roadmaps", json=WISH)
        await door.kill()
        assert await door.queued() == before
    assert answer.status_code == 202
    return str(answer.json()["id"])


async def _die_before_the_enqueue(door: Door) -> None:
    """`web` has committed, and still waits for Redis; its caller has heard nothing."""
    before, queued = await door.accepted(), await door.queued()

    async def committed() -> bool:
        return await door.accepted() > before

    async with door.whole.no_writes_in_redis(), door.client() as client:
        request = asyncio.create_task(client.post("/v1/roadmaps", json=WISH, headers=ONE_KEY))
        await eventually(committed, "the roadmap is there")
        await door.kill()
        assert await door.queued() == queued
        with pytest.raises(httpx.TransportError):
            await request


async def _ask_again(door: Door) -> str:
    """With the same key, as a caller does who was told nothing; returns the roadmap's id."""

    async def ask() -> Any:
        answer = await client.post("/v1/roadmaps", json=WISH, headers=ONE_KEY)
        assert answer.status_code == 202 or "retry-after" in answer.headers, answer.text
        return answer.json()["id"] if answer.status_code == 202 else None

    async with door.client() as client:
        return str(await eventually(ask, "the request is accepted"))


async def _check_made(door: Door, *roadmap_ids: str) -> None:
    """These, and no other."""
    async with door.client() as client:
        for roadmap_id in roadmap_ids:
            assert (await finish(client, roadmap_id, within=30))["status"] == "succeeded"
            await check_run(door.whole.db, roadmap_id)
    assert await door.accepted() == len(roadmap_ids)
    door.whole.accepted.extend(roadmap_ids)
    await door.history.check()
