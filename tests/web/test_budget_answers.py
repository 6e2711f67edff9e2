"""The budget at the API: given with a roadmap, shown with what it has cost, and asked before more is accepted."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from inside import Api, open_api

from roadmap.database import Database
from roadmap.ids import Prefix, parse_id
from roadmap.llm.ledger import RunLedger, settle
from roadmap.llm.model import CallStatus, PlannedCall, Spent

GOAL = {"goal": "Learn SQL"}
LIMIT = 1_000
BEGIN = """
UPDATE runs SET status = 'drafting', claim = 1, claimed_by = 'w1'
WHERE id = (SELECT latest_run_id FROM roadmaps WHERE id = $1) RETURNING id
"""


@pytest.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with open_api(database_url, redis_url, learner_daily_micros=LIMIT) as opened:
        yield opened


async def create(client: httpx.AsyncClient, **wishes: Any) -> str:
    answer = await client.post("/v1/roadmaps", json={**GOAL, **wishes})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def call(db: Database, roadmap_id: str, most: int, cost: int | None) -> UUID:
    """A call for the roadmap's draft; None: still under way."""
    run_id = await db.fetchval(BEGIN, parse_id(Prefix.ROADMAP, roadmap_id))
    call_id = await RunLedger(db, run_id, 1).reserve(PlannedCall("intent", "p", "m", "0" * 64, 0, most))
    if cost is not None:
        await settle(db, [Spent(call_id, 1, 1, cost, 900, "stop", CallStatus.OK, None)])
    return call_id


async def test_a_roadmap_shows_its_budget_and_what_it_has_cost(api: Api) -> None:
    roadmap_id = await create(api.alice, max_cost_micros=5_000_000)
    await call(api.db, roadmap_id, 500, 123)
    await call(api.db, roadmap_id, 500, 300)
    await call(api.db, roadmap_id, 400, None)

    shown = (await api.alice.get(f"/v1/roadmaps/{roadmap_id}")).json()
    assert (shown["max_cost_micros"], shown["cost_micros"]) == (5_000_000, 423), "a call under way is not told yet"

    await api.db.execute("UPDATE runs SET claimed_by = NULL, claim = 2")
    shown = (await api.alice.get(f"/v1/roadmaps/{roadmap_id}")).json()
    assert shown["cost_micros"] == 823, "one that was given up counts as dear as it can have been"


async def test_a_roadmap_without_a_budget_has_cost_nothing_yet(api: Api) -> None:
    shown = (await api.alice.get(f"/v1/roadmaps/{await create(api.alice)}")).json()
    assert (shown["max_cost_micros"], shown["cost_micros"]) == (None, 0)
    assert "max_cost_micros" not in shown["preferences"]


@pytest.mark.parametrize("given", [0, -1, 1.5, "100", True, 10**12 + 1, 10**30])
async def test_a_budget_that_is_no_sum_of_money_is_refused(api: Api, given: Any) -> None:
    answer = await api.alice.post("/v1/roadmaps", json={**GOAL, "max_cost_micros": given})
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/max_cost_micros"]


@pytest.mark.parametrize("given", [1, 10**12, 5.0, None])
async def test_any_sum_up_to_a_million_dollars_is_accepted(api: Api, given: Any) -> None:
    await create(api.alice, max_cost_micros=given)


async def test_whoever_has_spent_the_day_is_asked_to_come_tomorrow_and_nothing_is_stored(api: Api) -> None:
    roadmap_id = await create(api.alice)
    await call(api.db, roadmap_id, LIMIT, LIMIT)
    before = datetime.now(UTC)

    answer = await api.alice.post("/v1/roadmaps", json=GOAL)

    assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
    assert answer.json()["detail"] == "your budget for a day (UTC) is spent: 1000 of 1000 micro-dollars"
    assert answer.json()["retryable"]
    back = before + timedelta(seconds=int(answer.headers["retry-after"]))
    midnight = before.replace(hour=0, minute=0, second=0, microsecond=0)
    assert min(abs(back - midnight - timedelta(days=days)) for days in (1, 2)) < timedelta(seconds=60)
    assert await api.db.fetchval("SELECT count(*) FROM roadmaps") == 1
    assert (await api.bob.post("/v1/roadmaps", json=GOAL)).status_code == 202


async def test_what_is_missing_is_not_made_either_on_a_day_that_is_spent(api: Api) -> None:
    roadmap_id = await create(api.alice)
    await call(api.db, roadmap_id, LIMIT, LIMIT)
    await api.db.execute("UPDATE runs SET status = 'failed', finished_at = now(), claimed_by = NULL, due_at = NULL")

    answer = await api.alice.post(f"/v1/roadmaps/{roadmap_id}/complete", json={"max_cost_micros": 7})

    assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
    assert await api.db.fetchval("SELECT max_cost_micros FROM roadmaps") is None


async def test_a_repeated_request_gets_its_first_answer_on_a_day_that_is_spent(api: Api) -> None:
    key = {"Idempotency-Key": "one"}
    first = await api.alice.post("/v1/roadmaps", json=GOAL, headers=key)
    await call(api.db, first.json()["id"], LIMIT, LIMIT)

    again = await api.alice.post("/v1/roadmaps", json=GOAL, headers=key)
    other = await api.alice.post("/v1/roadmaps", json=GOAL, headers={"Idempotency-Key": "two"})
    await api.db.execute("UPDATE model_calls SET created_at = created_at - interval '1 day'")
    tomorrow = await api.alice.post("/v1/roadmaps", json=GOAL, headers={"Idempotency-Key": "two"})

    assert (again.status_code, again.json()) == (202, first.json())
    assert other.status_code == 429
    assert tomorrow.status_code == 202, "a refusal is not kept"
