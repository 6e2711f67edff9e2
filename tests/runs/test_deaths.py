"""What fails for good becomes a dead job, with its row and only with it."""

from dataclasses import replace
from typing import Any

import pytest
from model_server import ModelServer, answer
from whole import MALFORMED
from worker_here import WritingRun, open_tools, pass_time, queued_run, run_of, writing_run

from roadmap.database import Database
from roadmap.errors import BudgetExceeded, Superseded, Unusable
from roadmap.llm.client import Endpoint
from roadmap.roadmaps.model import Kind
from roadmap.runs.draft import draft
from roadmap.runs.service import cancel_run
from roadmap.runs.settle import fail
from roadmap.runs.write import write_concept

ONE = (Kind.TUTORIAL,)


async def dead_jobs(db: Database) -> list[dict[str, Any]]:
    return [dict(row) for row in await db.fetch("SELECT * FROM dead_jobs ORDER BY died_at")]


async def _write_twice(run: WritingRun, redis_url: str, server: ModelServer, place: int = 0) -> None:
    async with open_tools(run.db, redis_url, Endpoint("small", server.url)) as tools:
        for _ in range(2):
            await run.pass_time()
            await write_concept(tools, run.id, run.concepts[place])


async def test_a_piece_becomes_a_dead_job_when_its_last_try_fails_and_not_before(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database, kinds=ONE)
    server.default = lambda _: answer("too short")
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        await write_concept(tools, run.id, run.concepts[0])
        assert (await run.piece())["status"] == "pending"
        assert await dead_jobs(database) == []
        await run.pass_time()
        await write_concept(tools, run.id, run.concepts[0])
    piece, dead = await run.piece(), (await dead_jobs(database))[0]
    assert (piece["status"], piece["error_code"]) == ("failed", "tutorial_length")
    assert {name: dead[name] for name in ("queue", "function", "job_id", "run_id", "concept_id", "kind", "status")} == {
        "queue": "content",
        "function": "write_concept",
        "job_id": None,
        "run_id": run.id,
        "concept_id": run.concepts[0],
        "kind": "tutorial",
        "status": "dead",
    }
    assert dead["payload"] == {"args": [run.id.hex, run.concepts[0].hex]}
    assert dead["attempts"] == piece["failures"] + piece["crashes"] == 2
    assert (dead["code"], dead["error_class"], dead["message"]) == (
        "tutorial_length",
        "Unusable",
        piece["error_message"],
    )
    assert "write_tutorial" in dead["traceback"]


async def test_a_bug_keeps_its_class_and_traceback_and_the_same_bug_has_the_same_fingerprint(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database, 2, kinds=ONE)
    await database.execute("UPDATE roadmaps SET preferences = jsonb_set(preferences, '{size}', '\"huge\"')")
    for place in range(2):
        await _write_twice(run, redis_url, server, place)
    first, second = await dead_jobs(database)
    assert (first["code"], first["error_class"], first["attempts"]) == ("internal", "ValueError", 2)
    assert first["message"] == "an internal error (ValueError)"
    assert "'huge' is not a valid Size" in first["traceback"]
    assert "_assignment" in first["traceback"]
    assert "LEASE" not in first["traceback"]
    assert first["fingerprint"] == second["fingerprint"]
    assert first["id"] != second["id"]


async def test_a_draft_becomes_a_dead_job_when_its_run_fails(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run_id = (await queued_run(database)).run_id
    server.default = lambda _: MALFORMED
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        await draft(tools, run_id)
        assert await dead_jobs(database) == []
        await pass_time(database)
        await draft(tools, run_id)
    run, dead = await run_of(database, run_id), (await dead_jobs(database))[0]
    assert (run["status"], run["error_code"]) == ("failed", "model_malformed")
    assert (dead["function"], dead["run_id"], dead["concept_id"], dead["kind"]) == ("draft", run_id, None, None)
    assert (dead["code"], dead["attempts"], dead["payload"]) == ("model_malformed", 2, {"args": [run_id.hex]})


async def test_what_killed_its_workers_has_as_many_attempts_as_they_were(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database, kinds=ONE)
    drafted = (await queued_run(database)).run_id
    await database.execute("UPDATE content SET crashes = 3")
    await database.execute("UPDATE runs SET crashes = 3 WHERE id = $1", drafted)
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        await write_concept(tools, run.id, run.concepts[0])
        await draft(tools, drafted)
    found = [
        (dead["function"], dead["code"], dead["attempts"], dead["traceback"]) for dead in await dead_jobs(database)
    ]
    assert found == [("write_concept", "worker_died", 3, None), ("draft", "worker_died", 3, None)]


async def test_a_spent_budget_and_a_cancellation_are_nothing_for_operators(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    spent, canceled = await writing_run(database, kinds=ONE), await writing_run(database, kinds=ONE)
    user_id = await database.fetchval("SELECT user_id FROM runs WHERE id = $1", canceled.id)
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        await fail(tools, (await spent.claim())[0], BudgetExceeded("the budget is spent"))
        piece = (await canceled.claim())[0]
        async with database.transaction() as tx:
            await cancel_run(tx, user_id, canceled.id)
        with pytest.raises(Superseded):
            await fail(tools, piece, Unusable("model_refused", "late"))
    assert (await spent.piece())["status"] == "failed"
    assert await dead_jobs(database) == []


async def test_a_failure_that_is_settled_twice_leaves_one_dead_job_and_a_late_one_none(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database)
    piece = (await run.claim())[0]
    error = Unusable("model_refused", "no")
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        with pytest.raises(Superseded):
            await fail(tools, replace(piece, claim=piece.claim - 1), error)
        assert await dead_jobs(database) == []
        await fail(tools, piece, error)
        with pytest.raises(Superseded):
            await fail(tools, piece, error)
    assert [dead["kind"] for dead in await dead_jobs(database)] == [piece.kind]
