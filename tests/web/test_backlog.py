"""Too much work: new roadmaps are refused, politely and before anything is stored; what is there can be read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from inside import Api, open_api
from problem_checks import check_problem
from redis.asyncio import Redis
from waiting import eventually

PATH = "/v1/roadmaps"
GOAL = {"goal": "Learn SQL"}


async def create(client: httpx.AsyncClient, key: str | None = None) -> httpx.Response:
    return await client.post(PATH, json=GOAL, headers={"Idempotency-Key": key} if key else {})


async def counts(api: Api) -> list[int]:
    tables = ("roadmaps", "runs", "events", "idempotency_keys")
    return [int(await api.db.fetchval(f"SELECT count(*) FROM {table}")) for table in tables]


def check_refusal(answer: httpx.Response, status: int, code: str) -> None:
    assert check_problem(answer, status, code)["retryable"]
    assert 1 <= int(answer.headers["retry-after"]) <= 60


@asynccontextmanager
async def full(redis_url: str, api: Api, depth: int, queue: str = "content") -> AsyncIterator[None]:
    """So many jobs wait, and this process has seen it."""
    async with Redis.from_url(redis_url) as redis:
        await redis.zadd(queue, {f"job{number}": number for number in range(depth)})

        async def is_seen() -> bool:
            return (await api.state.runtime.queue.recent_depth("content") or 0) >= depth

        await eventually(is_seen, "the backlog is seen", within=10)
        yield
        await redis.zremrangebyrank(queue, 0, -1)


async def test_a_learner_with_as_many_active_runs_as_allowed_is_refused_until_one_ends(
    database_url: str, redis_url: str
) -> None:
    async with open_api(database_url, redis_url, learner_backlog=3) as api:
        created = [(await create(api.alice)).json() for _ in range(3)]
        before = await counts(api)
        check_refusal(await create(api.alice), 429, "too_many")
        assert await counts(api) == before
        assert await api.state.runtime.queue.depth("content") == 3
        assert (await create(api.bob)).status_code == 202, "it is no matter of others"
        assert (await api.alice.post(created[0]["links"]["cancel"])).status_code == 200
        assert (await create(api.alice)).status_code == 202
        check_refusal(await create(api.alice), 429, "too_many")


async def test_completing_a_roadmap_counts_as_creating_one(database_url: str, redis_url: str) -> None:
    async with open_api(database_url, redis_url, learner_backlog=2) as api:
        stopped = (await create(api.alice)).json()["links"]
        path = f"{stopped['self']}/complete"
        assert "complete" not in (await api.alice.get(stopped["self"])).json()["links"]
        await api.alice.post(stopped["cancel"])
        assert (await api.alice.get(stopped["self"])).json()["links"]["complete"] == path
        others = [(await create(api.alice)).json()["links"] for _ in range(2)]
        before = await counts(api)
        check_refusal(await api.alice.post(path, json={}), 429, "too_many")
        assert await counts(api) == before
        check_problem(await api.bob.post(path, json={}), 404, "not_found")
        await api.alice.post(others[0]["cancel"])
        assert (await api.alice.post(path, json={})).status_code == 202
        check_problem(await api.alice.post(path, json={}), 409, "conflict")
        check_refusal(await create(api.alice), 429, "too_many")


async def test_a_refusal_keeps_no_key_and_an_answer_is_replayed_whatever_waits(
    database_url: str, redis_url: str
) -> None:
    async with open_api(database_url, redis_url, learner_backlog=1, backlog_limit=5) as api:
        accepted = await create(api.alice, "first")
        check_refusal(await create(api.alice, "second"), 429, "too_many")
        replayed = await create(api.alice, "first")
        assert (replayed.status_code, replayed.json()) == (202, accepted.json())
        await api.alice.post(accepted.json()["links"]["cancel"])
        async with full(redis_url, api, 5):
            check_refusal(await create(api.alice, "second"), 503, "backlog_full")
            assert (await create(api.alice, "first")).headers["idempotency-replayed"] == "true"
        assert await _accepted(api, "second")
        assert [row["key"] for row in await api.db.fetch("SELECT key FROM idempotency_keys ORDER BY key")] == [
            "first",
            "second",
        ]


async def _accepted(api: Api, key: str) -> bool:
    async def is_accepted() -> bool:
        return (await create(api.alice, key)).status_code == 202

    return bool(await eventually(is_accepted, "there is room again", within=10))


async def test_a_full_queue_refuses_everybody_and_stores_nothing_and_reads_go_on(
    database_url: str, redis_url: str
) -> None:
    async with open_api(database_url, redis_url, backlog_limit=5) as api:
        created = (await create(api.alice)).json()
        before = await counts(api)
        async with full(redis_url, api, 5):
            for client in (api.alice, api.bob):
                check_refusal(await create(client), 503, "backlog_full")
            assert await counts(api) == before
            for link in ("self", "events", "log", "runs"):
                assert (await api.alice.get(created["links"][link])).status_code == 200, link
            assert (await api.alice.get(PATH)).status_code == 200
            assert (await api.alice.post(created["links"]["cancel"])).status_code == 200
        assert await _accepted(api, uuid4().hex)


async def test_the_backlog_is_that_of_the_own_namespace(database_url: str, redis_url: str) -> None:
    async with open_api(database_url, redis_url, backlog_limit=5, redis_namespace="mine") as api:
        async with Redis.from_url(redis_url) as redis:
            await redis.zadd("content", {f"job{number}": number for number in range(50)})
        assert (await create(api.alice)).status_code == 202
        async with full(redis_url, api, 5, "mine:content"):
            check_refusal(await create(api.alice), 503, "backlog_full")


@pytest.mark.parametrize("limits", [{"backlog_limit": 0, "learner_backlog": 0}, {}])
async def test_without_limits_or_below_them_everything_is_accepted(
    database_url: str, redis_url: str, limits: dict[str, Any]
) -> None:
    async with open_api(database_url, redis_url, **limits) as api, full(redis_url, api, 200):
        answers = await asyncio.gather(*(create(api.alice) for _ in range(30)))
        assert {answer.status_code for answer in answers} == {202}


async def test_while_redis_is_away_nobody_is_refused(database_url: str, redis_url: str) -> None:
    async with open_api(database_url, "redis://127.0.0.1:1/0", backlog_limit=1) as api:
        for _ in range(3):
            assert (await create(api.alice)).status_code == 202


async def test_a_hundred_requests_at_once_exceed_a_learners_limit_by_no_more_than_run_at_once(
    database_url: str, redis_url: str
) -> None:
    async with open_api(database_url, redis_url, learner_backlog=20) as api:
        answers = await asyncio.gather(*(create(api.alice) for _ in range(100)))
        accepted = sum(answer.status_code == 202 for answer in answers)
        assert {answer.status_code for answer in answers} == {202, 429}
        assert 20 <= accepted <= 20 + api.state.runtime.settings.db_pool_web
