"""Budgets in earnest, with real processes: never exceeded by more than one call, also when workers are killed; what is
ready is kept; a raised budget pays for the rest alone."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from stack import api_client, finish
from waiting import eventually
from whole import Whole, check_queues, check_run, offline, open_whole, rows

from roadmap.accounts.keys import create_key

SMALL = {"size": "small"}
LIMIT = 12_000
# A token of the answer costs a micro-dollar; the provider tells how many there were.
PRICES = {"LLM_OUTPUT_PRICE": "1000000", "LLM_INPUT_PRICE": "10000"}
COSTS = """
SELECT coalesce(sum(spent_micros), 0)::int AS spent, coalesce(sum(held_micros), 0)::int AS held
FROM call_costs JOIN runs ON runs.id = run_id WHERE roadmap_id = $1
"""
DEAREST = """
SELECT max(greatest(cost_micros, CASE WHEN model_calls.status = 'open' THEN reserved_micros END)) AS micros
FROM model_calls JOIN runs ON runs.id = run_id WHERE roadmap_id = $1
"""
CALLS = """
SELECT model_calls.status, reserved_micros, cost_micros, model_calls.run_id
FROM model_calls JOIN runs ON runs.id = run_id WHERE roadmap_id = $1
"""
BODIES = "SELECT concept_id, kind, body, created_at FROM content_versions WHERE roadmap_id = $1"


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url, CONTENT_CONCURRENCY="10", **PRICES) as opened:
        opened.model.default = offline(0.1)
        yield opened


async def _check_costs(whole: Whole, roadmap_id: str, limit: int) -> None:
    """Spent, and by less than the dearest call too much; never a call that cost more than was reserved."""
    (costs,) = await rows(whole.db, COSTS, roadmap_id)
    (dearest,) = await rows(whole.db, DEAREST, roadmap_id)
    assert costs["held"] == 0
    assert limit <= costs["spent"] < limit + dearest["micros"]
    calls = await rows(whole.db, CALLS, roadmap_id)
    assert len(calls) == len(whole.model.calls)
    assert [call for call in calls if call["cost_micros"] > call["reserved_micros"]] == []


async def _check_exceeded(whole: Whole, roadmap: dict[str, Any]) -> None:
    run = (await whole.api.get(f"/v1/runs/{roadmap['run']['id']}")).json()
    assert (run["status"], run["error"]["code"]) == ("incomplete", "budget_exceeded")
    pieces = await check_run(whole.db, roadmap["id"], "run.incomplete")
    assert {piece["status"] for piece in pieces} == {"ready", "failed"}
    assert {piece["error_code"] for piece in pieces if piece["status"] == "failed"} == {"budget_exceeded"}
    assert await whole.db.fetchval("SELECT count(*) FROM dead_jobs") == 0


async def test_two_workers_exceed_a_budget_by_no_more_than_one_call(whole: Whole) -> None:
    limit = 2_200
    await whole.stack.start("content", "content:second")
    roadmap_id = await whole.create(**SMALL, max_cost_micros=limit, kinds=["resources"])
    roadmap = await whole.finish(roadmap_id)
    await _check_exceeded(whole, roadmap)
    await _check_costs(whole, roadmap_id, limit)


@pytest.mark.slow
async def test_a_raised_budget_pays_for_what_is_missing_and_for_nothing_else(whole: Whole) -> None:
    await whole.stack.start("content", "content:second", "logs")
    roadmap_id = await whole.create(**SMALL, max_cost_micros=LIMIT)
    roadmap = await whole.finish(roadmap_id)
    await _check_exceeded(whole, roadmap)
    await _check_costs(whole, roadmap_id, LIMIT)
    pieces = await rows(whole.db, "SELECT failures, crashes, status FROM content WHERE roadmap_id = $1", roadmap_id)
    assert {(p["failures"], p["crashes"]) for p in pieces if p["status"] == "ready"} == {(0, 0)}
    kept = await rows(whole.db, BODIES, roadmap_id)
    assert len(kept) >= 3

    answer = await whole.api.post(f"/v1/roadmaps/{roadmap_id}/complete", json={"max_cost_micros": 100 * LIMIT})
    assert answer.status_code == 202, answer.text
    roadmap = await whole.finish(roadmap_id)
    assert (roadmap["status"], roadmap["run"]["error"]) == ("succeeded", None)
    await check_run(whole.db, roadmap_id)
    assert [body for body in kept if body not in await rows(whole.db, BODIES, roadmap_id)] == []
    assert max(Counter(call.prompt for call in whole.model.calls).values()) == 1, "nothing was paid for twice"
    (costs,) = await rows(whole.db, COSTS, roadmap_id)
    assert roadmap["cost_micros"] == costs["spent"]
    await check_queues(whole.redis)


@pytest.mark.slow
async def test_killed_workers_exceed_no_budget_by_more_than_one_call(whole: Whole) -> None:
    whole.model.default = offline(0.5)
    limit = 30_000
    await whole.stack.start("content", "content:second")
    roadmap_id = await whole.create(**SMALL, max_cost_micros=limit)
    for count, name in ((2, "content"), (4, "content:second")):
        await whole.ready(count)
        called = len(whole.model.calls)
        await eventually(lambda called=called: len(whole.model.calls) > called, "a call is under way")
        await whole.stack.kill(name)
        await whole.stack.start(name)
    roadmap = await whole.finish(roadmap_id)
    await _check_exceeded(whole, roadmap)
    (costs,) = await rows(whole.db, COSTS, roadmap_id)
    calls = await rows(whole.db, CALLS, roadmap_id)
    abandoned = sum(call["status"] == "open" for call in calls)
    assert abandoned, "somebody was killed in the middle of a call"
    assert len(calls) - abandoned <= len(whole.model.calls) <= len(calls), "a row comes before its call"
    assert costs["held"] == 0
    assert limit <= costs["spent"] < limit + max(call["reserved_micros"] for call in calls)


@pytest.mark.slow
async def test_a_learners_day_holds_over_two_roadmaps_while_another_learner_goes_on(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    limit = 20_000
    day = {"LEARNER_DAILY_MICROS": str(limit), **PRICES}
    async with open_whole(tmp_path, database_url, redis_url, CONTENT_CONCURRENCY="10", **day) as whole:
        whole.model.default = offline(0.1)
        many = await create_key(whole.db, "many@example.org", "tests", None)
        one = await create_key(whole.db, "one@example.org", "tests", None)
        await whole.stack.start("web", "content", "content:second", **day)
        wish = {"goal": "Learn SQL", "kinds": ["tutorial"], **SMALL}
        async with (
            api_client(whole.stack.web_url, many.secret) as heavy,
            api_client(whole.stack.web_url, one.secret) as light,
        ):
            both = [(await heavy.post("/v1/roadmaps", json=wish)).json()["id"] for _ in range(2)]
            last = (await light.post("/v1/roadmaps", json=wish)).json()["id"]
            ends = await asyncio.gather(*(finish(heavy, roadmap_id) for roadmap_id in both), finish(light, last))
            refused = await heavy.post("/v1/roadmaps", json=wish)
        assert {end["run"]["error"]["code"] for end in ends[:2] if end["run"]["error"]} == {"budget_exceeded"}
        assert (ends[2]["status"], ends[2]["run"]["error"]) == ("succeeded", None)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
        spent = [(await rows(whole.db, COSTS, roadmap_id))[0]["spent"] for roadmap_id in both]
        dearest = [(await rows(whole.db, DEAREST, roadmap_id))[0]["micros"] for roadmap_id in both]
        assert limit <= sum(spent) < limit + max(dearest)
