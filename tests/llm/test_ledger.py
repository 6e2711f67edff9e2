"""The ledger in PostgreSQL: it counts every call, and refuses calls that nobody wants any more."""

from uuid import UUID

import pytest
from answers import Plan
from model_server import ModelServer, answer, model_server, reset
from zoo import GOOD

from roadmap.database import Database
from roadmap.errors import Outage, Superseded
from roadmap.ids import new_id
from roadmap.llm.ask import Llm
from roadmap.llm.client import Endpoint, open_provider
from roadmap.llm.ledger import RunLedger, settle
from roadmap.llm.model import CallStatus, PlannedCall, Prompt, Spent

PLANNED = PlannedCall("quiz", "offline", "small", "0" * 64, 1)


@pytest.fixture
async def run_id(database: Database) -> UUID:
    """A run that is being drafted, under claim 1."""
    user, roadmap, run = new_id(), new_id(), new_id()
    async with database.transaction() as tx:
        await tx.execute("INSERT INTO users (id, email) VALUES ($1, 'ada@example.org')", user)
        await tx.execute(
            "INSERT INTO roadmaps (id, user_id, goal, preferences, latest_run_id) VALUES ($1, $2, 'SQL', '{}', $3)",
            roadmap,
            user,
            run,
        )
        await tx.execute(
            "INSERT INTO runs (id, roadmap_id, user_id, kind, status, claim)"
            " VALUES ($1, $2, $3, 'create', 'drafting', 1)",
            run,
            roadmap,
            user,
        )
    return run


@pytest.fixture
async def concept_id(database: Database, run_id: UUID) -> UUID:
    """A concept whose quiz is being written, under claim 3."""
    concept = new_id()
    async with database.transaction() as tx:
        await tx.execute("UPDATE runs SET status = 'writing' WHERE id = $1", run_id)
        await tx.execute(
            "INSERT INTO content (roadmap_id, concept_id, kind, run_id, status, claim)"
            " SELECT roadmap_id, $2, 'quiz', id, 'writing', 3 FROM runs WHERE id = $1",
            run_id,
            concept,
        )
    return concept


def _spent(call_id: UUID, outcome: CallStatus = CallStatus.OK, error: str | None = None) -> Spent:
    return Spent(call_id, 100, 50, 12_345_678_901, 900, "stop", outcome, error)


async def test_a_call_is_open_until_it_is_settled(database: Database, run_id: UUID, concept_id: UUID) -> None:
    call_id = await RunLedger(database, run_id, 3, concept_id, "quiz").reserve(PLANNED)

    row = await database.fetchrow("SELECT * FROM model_calls WHERE id = $1", call_id)
    assert row is not None
    assert (row["status"], row["settled_at"], row["cost_micros"]) == ("open", None, 0)
    assert (row["run_id"], row["concept_id"], row["kind"], row["claim"]) == (run_id, concept_id, "quiz", 3)
    assert (row["purpose"], row["provider"], row["model"], row["round"]) == ("quiz", "offline", "small", 1)

    async with database.transaction() as tx:
        await settle(tx, [_spent(call_id)])

    row = await database.fetchrow("SELECT * FROM model_calls WHERE id = $1", call_id)
    assert row is not None
    assert (row["status"], row["input_tokens"], row["output_tokens"], row["latency_ms"]) == ("ok", 100, 50, 900)
    assert (row["cost_micros"], row["finish_reason"], row["error"]) == (12_345_678_901, "stop", None)
    assert row["settled_at"] is not None


async def test_settling_twice_is_settling_once(database: Database, run_id: UUID) -> None:
    ledger = RunLedger(database, run_id, 1)
    first, second = await ledger.reserve(PLANNED), await ledger.reserve(PLANNED)
    await settle(database, [_spent(first, CallStatus.OUTAGE, "provider_outage")])

    await settle(database, [_spent(first), _spent(second), _spent(second), _spent(new_id())])
    await settle(database, [])

    rows = await database.fetch("SELECT status, error, concept_id, kind FROM model_calls ORDER BY id")
    assert [tuple(row) for row in rows] == [("outage", "provider_outage", None, None), ("ok", None, None, None)]


@pytest.mark.fault("F32")
@pytest.mark.parametrize("status", ["queued", "writing", "succeeded", "incomplete", "failed", "canceled"])
async def test_a_run_that_is_not_drafted_gets_no_call_for_its_draft(
    database: Database, run_id: UUID, status: str
) -> None:
    finished = "NULL" if status in {"queued", "writing"} else "now()"
    await database.execute(f"UPDATE runs SET status = $2, finished_at = {finished} WHERE id = $1", run_id, status)

    with pytest.raises(Superseded):
        await RunLedger(database, run_id, 1).reserve(PLANNED)

    assert await database.fetchval("SELECT count(*) FROM model_calls") == 0


@pytest.mark.fault("F4")
@pytest.mark.parametrize("change", ["claim = 4", "status = 'pending'", "status = 'ready'"])
async def test_a_piece_whose_claim_was_lost_gets_no_call(
    database: Database, run_id: UUID, concept_id: UUID, change: str
) -> None:
    await database.execute(f"UPDATE content SET {change} WHERE concept_id = $1", concept_id)

    with pytest.raises(Superseded):
        await RunLedger(database, run_id, 3, concept_id, "quiz").reserve(PLANNED)


@pytest.mark.fault("F4")
async def test_a_draft_whose_claim_was_lost_gets_no_call(database: Database, run_id: UUID) -> None:
    with pytest.raises(Superseded):
        await RunLedger(database, run_id, 0).reserve(PLANNED)


async def test_a_run_that_is_gone_gets_no_call(database: Database) -> None:
    with pytest.raises(Superseded):
        await RunLedger(database, new_id(), 1).reserve(PLANNED)


async def test_the_statuses_of_a_call_are_those_of_the_table(database: Database) -> None:
    check = await database.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'model_calls_status_check'"
    )

    assert {word for word in check.split("'") if word.isalpha()} == set(CallStatus)


async def test_the_ledger_equals_the_providers_count(database: Database, run_id: UUID) -> None:
    async with model_server() as server, open_provider(Endpoint("small", server.url)) as provider:
        llm = Llm(provider, RunLedger(database, run_id, 1))
        await _ask_through_faults(server, llm)
        await settle(database, llm.spent)

    rows = await database.fetch("SELECT status, count(*) AS calls FROM model_calls GROUP BY status")
    counted = {row["status"]: row["calls"] for row in rows}
    assert counted == {"ok": 1, "unusable": 1, "outage": 1}
    assert sum(counted.values()) == len(server.calls)


async def _ask_through_faults(server: ModelServer, llm: Llm) -> None:
    prompt = Prompt("outline", "You plan.", "Plan SQL.")
    server.script(answer("no"), reset())
    with pytest.raises(Outage):
        await llm.ask(prompt, Plan)
    server.script(answer(GOOD))
    await llm.ask(prompt, Plan)
