"""A learner with many roadmaps does not starve the next one: not on the queue, and not in front of the model."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from stack import api_client, finish
from whole import Counted, Whole, check_run, offline, open_whole

from roadmap.accounts.keys import create_key
from roadmap.ids import Prefix, parse_id

WISH = {"goal": "Learn SQL", "size": "small"}
# Runs that ended after that of this roadmap, and those that ended before it since it was asked for.
LATER = """
SELECT count(*) FROM runs, runs AS light WHERE light.roadmap_id = $1 AND runs.finished_at > light.finished_at
"""
BEFORE = """
SELECT count(*) FROM runs, runs AS light
WHERE light.roadmap_id = $1 AND runs.finished_at BETWEEN light.created_at AND light.finished_at AND runs.id <> light.id
"""
CALLS = "SELECT count(*) FROM model_calls JOIN runs ON runs.id = run_id WHERE roadmap_id = $1"


@dataclass(frozen=True, slots=True)
class Learners:
    """One who has asked for many roadmaps, and one who is about to ask for one."""

    whole: Whole
    heavy: httpx.AsyncClient
    light: httpx.AsyncClient
    many: Sequence[str]

    async def ask_for_one(self) -> str:
        return str((await self.light.post("/v1/roadmaps", json=WISH)).json()["id"])

    async def count(self, query: str, roadmap_id: str) -> int:
        return int(await self.whole.db.fetchval(query, parse_id(Prefix.ROADMAP, roadmap_id)))

    async def finish_all(self, *others: str, within: float = 100.0) -> None:
        await asyncio.gather(*(finish(self.heavy, roadmap_id, within=within) for roadmap_id in self.many))
        for roadmap_id in [*self.many, *others]:
            await check_run(self.whole.db, roadmap_id)


@asynccontextmanager
async def learners(whole: Whole, many: int) -> AsyncIterator[Learners]:
    """With the roadmaps of the first accepted; `web` is started here."""
    keys = [await create_key(whole.db, f"{name}@example.org", "tests", None) for name in ("many", "one")]
    await whole.stack.start("web")
    url = whole.stack.web_url
    async with api_client(url, keys[0].secret) as heavy, api_client(url, keys[1].secret) as light:
        created = [(await heavy.post("/v1/roadmaps", json=WISH)).json()["id"] for _ in range(many)]
        yield Learners(whole, heavy, light, created)


async def test_the_learner_with_one_roadmap_is_done_before_the_one_with_twenty(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    async with open_whole(tmp_path, database_url, redis_url, CONTENT_CONCURRENCY="10") as whole:
        whole.model.default = offline(0.15)
        async with learners(whole, 20) as both:
            await whole.stack.start("content")
            await whole.ready(5)
            one = await both.ask_for_one()
            await finish(both.light, one)
            await both.finish_all(one)
            assert await both.count(LATER, one) >= 8


LIMITS = [
    pytest.param({"CONTENT_CONCURRENCY": "10"}, id="few jobs at once"),
    pytest.param({"LLM_CONCURRENCY": "10"}, id="few calls at once"),
    pytest.param({"LLM_REQUESTS_PER_MINUTE": "1500"}, id="few requests a minute"),
]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("limits", LIMITS)
async def test_the_learner_with_one_roadmap_does_not_wait_for_the_one_with_fifty(
    tmp_path: Path, database_url: str, redis_url: str, limits: dict[str, str]
) -> None:
    async with open_whole(tmp_path, database_url, redis_url, **limits) as whole:
        whole.model.default = Counted(0.15)
        async with learners(whole, 50) as both:
            await whole.stack.start("content")
            await whole.ready(5)
            one = await both.ask_for_one()
            await finish(both.light, one, within=100)
            before = await both.count(BEFORE, one)
            await both.finish_all(one, within=280)
            assert before <= 10
            assert await both.count(LATER, one) >= 35


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_when_the_work_of_the_many_waits_since_half_an_hour_the_one_gets_its_share_all_the_same(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    """The model is slow, and no clock can tell how long a line lasts."""
    async with open_whole(tmp_path, database_url, redis_url, LLM_CONCURRENCY="2") as whole:
        whole.model.default = watched = Counted(0.5)
        async with learners(whole, 50) as both:
            await whole.stack.start("content")
            await whole.ready(5)
            for job in await whole.redis.zrange("content", 0, -1):
                await whole.redis.zincrby("content", -1_800_000, job)
            before = len(whole.model.calls)
            one = await both.ask_for_one()
            await finish(both.light, one, within=200)
            calls = len(whole.model.calls) - before
            own = await both.count(CALLS, one)
            assert watched.most == 2
            assert calls <= 5 * own
