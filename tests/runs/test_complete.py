"""`complete`: a run for what is missing. One at a time, what is ready left alone, what was committed not paid twice."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from model_server import ModelServer, answer
from redis.asyncio import Redis
from whole import MALFORMED, offline
from worker_here import WritingRun, open_tools, pass_time, queued_run, run_of, writing_run

from roadmap.accounts.store import ensure_user
from roadmap.database import Database
from roadmap.errors import Conflict, NotFound, Superseded, Unusable
from roadmap.ids import new_id
from roadmap.llm.client import Endpoint
from roadmap.queue.client import open_queue
from roadmap.roadmaps.model import Kind
from roadmap.runs.complete import Begun, complete_roadmap, enqueue
from roadmap.runs.draft import draft
from roadmap.runs.service import cancel_run
from roadmap.runs.settle import fail
from roadmap.runs.store import NewBudget
from roadmap.runs.tools import Tools
from roadmap.runs.write import write_concept

REFUSED = Unusable("model_refused", "the model refused")


async def owner(db: Database, roadmap_id: UUID) -> UUID:
    return UUID(str(await db.fetchval("SELECT user_id FROM roadmaps WHERE id = $1", roadmap_id)))


async def complete(db: Database, roadmap_id: UUID, budget: NewBudget | None = None) -> Begun:
    user_id = await owner(db, roadmap_id)
    async with db.transaction() as tx:
        return await complete_roadmap(tx, user_id, roadmap_id, budget)


async def incomplete_run(tools: Tools, server: ModelServer, count: int = 3) -> WritingRun:
    """All is ready but the first concept's tutorial and the second one's quiz."""
    run = await writing_run(tools.db, count)
    server.default = offline()
    for place, kind in ((0, Kind.TUTORIAL), (1, Kind.QUIZ)):
        piece = next(piece for piece in await run.claim(place) if piece.kind is kind)
        await fail(tools, piece, REFUSED)
    await tools.db.execute("UPDATE content SET claimed_by = NULL, status = 'pending' WHERE status = 'writing'")
    await run.pass_time()
    for concept_id in run.concepts:
        await write_concept(tools, run.id, concept_id)
    assert (await run_of(tools.db, run.id))["status"] == "incomplete"
    server.calls.clear()
    return run


async def events(db: Database, roadmap_id: UUID) -> list[tuple[str, dict[str, Any]]]:
    rows = await db.fetch("SELECT type, payload FROM events WHERE roadmap_id = $1 ORDER BY seq", roadmap_id)
    return [(row["type"], row["payload"]) for row in rows]


async def latest(db: Database, roadmap_id: UUID) -> dict[str, Any]:
    run_id = await db.fetchval("SELECT latest_run_id FROM roadmaps WHERE id = $1", roadmap_id)
    return await run_of(db, run_id)


async def work_off(tools: Tools, begun: Begun) -> None:
    for job in begun.jobs:
        arguments = [UUID(hex=str(text)) for text in job.args]
        await (draft(tools, *arguments) if job.function == "draft" else write_concept(tools, *arguments))


async def test_only_what_failed_is_made_again_in_a_run_of_its_own(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        run = await incomplete_run(tools, server)
        before = {(r["concept_id"], r["kind"]): r for r in await database.fetch("SELECT * FROM content_versions")}
        begun = await complete(database, run.roadmap_id)
        row = await run_of(database, begun.run_id)
        assert (row["kind"], row["status"], row["due_at"]) == ("complete", "writing", None)
        assert row["started_at"] == row["planned_at"] is not None
        reopened = await database.fetch("SELECT * FROM content WHERE run_id = $1", begun.run_id)
        assert {(piece["concept_id"], piece["kind"]) for piece in reopened} == {
            (run.concepts[0], "tutorial"),
            (run.concepts[1], "quiz"),
        }
        assert {
            (p["status"], p["failures"], p["crashes"], p["claimed_by"], p["not_before"], p["error_code"])
            for p in reopened
        } == {("pending", 0, 0, None, None, None)}
        await work_off(tools, begun)
    assert (await latest(database, run.roadmap_id))["id"] == begun.run_id
    assert (await run_of(database, begun.run_id))["status"] == "succeeded"
    assert (await run_of(database, run.id))["status"] == "incomplete"
    assert sorted(call.purpose for call in server.calls) == ["quiz", "tutorial"]
    after = {(r["concept_id"], r["kind"]): r for r in await database.fetch("SELECT * FROM content_versions")}
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 2
    assert [name for name, _ in await events(database, run.roadmap_id)][-4:] == [
        "run.started",
        "content.ready",
        "content.ready",
        "run.succeeded",
    ]


async def test_its_jobs_are_on_the_queue_once_and_the_sweeper_would_find_them(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    async with (
        open_tools(database, redis_url, Endpoint("small", server.url)) as tools,
        open_queue(redis_url) as queue,
        Redis.from_url(redis_url) as redis,
    ):
        run = await incomplete_run(tools, server)
        begun = await complete(database, run.roadmap_id)
        for _ in range(2):
            await enqueue(queue, begun)
        ids = {job.decode() for job in await redis.zrange("content", 0, -1)}
    assert {job_id.rpartition(":")[0] for job_id in ids} == {
        f"write:{begun.run_id.hex}:{run.concepts[place].hex}" for place in range(2)
    }
    due = "SELECT count(*) FROM content WHERE run_id = $1 AND due_at BETWEEN now() AND now() + interval '10 seconds'"
    assert await database.fetchval(due, begun.run_id) == 2


async def test_dead_jobs_of_the_roadmap_are_dealt_with_by_its_owner(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        run, other = await incomplete_run(tools, server), await incomplete_run(tools, server)
        await complete(database, run.roadmap_id)
    query = "SELECT DISTINCT status, left(resolved_by, 4) AS who FROM dead_jobs WHERE run_id = $1"
    assert [tuple(row) for row in await database.fetch(query, run.id)] == [("retried", "usr_")]
    assert [tuple(row) for row in await database.fetch(query, other.id)] == [("dead", None)]


async def test_a_worker_that_still_wrote_a_piece_is_refused_once_it_is_asked_for_again(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database)
    late = (await run.claim())[0]
    user_id = await owner(database, run.roadmap_id)
    async with database.transaction() as tx:
        await cancel_run(tx, user_id, run.id)
    await complete(database, run.roadmap_id)
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        with pytest.raises(Superseded):
            await fail(tools, late, REFUSED)
    assert (await run_of(database, run.id))["status"] == "canceled"


async def test_after_a_cancel_all_that_was_not_ready_is_made(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database, 2)
    server.default = offline()
    user_id = await owner(database, run.roadmap_id)
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        await write_concept(tools, run.id, run.concepts[0])
        async with database.transaction() as tx:
            await cancel_run(tx, user_id, run.id)
        begun = await complete(database, run.roadmap_id)
        await work_off(tools, begun)
    assert (await run_of(database, begun.run_id))["status"] == "succeeded"
    assert [server.count(purpose=kind.value) for kind in Kind] == [2, 2, 2]


async def test_when_it_fails_again_the_run_is_incomplete_again_and_has_a_new_dead_job(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        run = await incomplete_run(tools, server)
        begun = await complete(database, run.roadmap_id)
        server.default = lambda _: answer("too short")
        for _ in range(2):
            await work_off(tools, begun)
            await run.pass_time()
    assert (await run_of(database, begun.run_id))["status"] == "incomplete"
    dead = await database.fetch("SELECT kind, run_id FROM dead_jobs WHERE status = 'dead' ORDER BY kind")
    assert [tuple(row) for row in dead] == [("quiz", begun.run_id), ("tutorial", begun.run_id)]


async def test_after_a_failed_draft_the_committed_steps_are_not_paid_for_again(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run_id = (await queued_run(database)).run_id
    roadmap_id = (await run_of(database, run_id))["roadmap_id"]
    server.default = lambda call: MALFORMED if call.purpose == "outline" else offline()(call)
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        for _ in range(2):
            await draft(tools, run_id)
            await pass_time(database)
        assert (await run_of(database, run_id))["status"] == "failed"
        server.default = offline()
        server.calls.clear()
        begun = await complete(database, roadmap_id)
        row = await run_of(database, begun.run_id)
        assert (row["kind"], row["status"], row["started_at"]) == ("complete", "queued", None)
        assert row["due_at"] is not None
        await work_off(tools, begun)
    assert (await run_of(database, begun.run_id))["status"] == "writing"
    assert server.count(purpose="intent") == 0
    assert server.count(purpose="outline") == 1
    assert "run.queued" in [name for name, payload in await events(database, roadmap_id) if payload["run_id"]][2:]
    assert await database.fetchval("SELECT count(*) FROM dead_jobs WHERE status = 'dead'") == 0


async def test_after_a_rejected_plan_the_model_has_to_think_anew(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run_id = (await queued_run(database)).run_id
    roadmap_id = (await run_of(database, run_id))["roadmap_id"]
    await database.execute(
        "INSERT INTO run_steps (run_id, key, output, duration_ms) VALUES ($1, 'intent', '{}', 1)", run_id
    )
    await database.execute(
        "UPDATE runs SET status = 'failed', finished_at = now(), due_at = NULL, error_code = 'plan_rejected'"
    )
    begun = await complete(database, roadmap_id)
    assert await database.fetchval("SELECT count(*) FROM run_steps WHERE run_id = $1", begun.run_id) == 0


@pytest.mark.parametrize("status", ["queued", "drafting", "writing"])
async def test_while_a_run_is_active_it_is_a_conflict_that_names_the_run(database: Database, status: str) -> None:
    run = await writing_run(database)
    await database.execute("UPDATE runs SET status = $1", status)
    with pytest.raises(Conflict, match=f"run_{run.id.hex} is at work"):
        await complete(database, run.roadmap_id)


async def test_nothing_missing_is_a_conflict_and_another_s_roadmap_or_a_deleted_one_is_not_found(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database)
    server.default = offline()
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        await write_concept(tools, run.id, run.concepts[0])
    with pytest.raises(Conflict, match="nothing is missing"):
        await complete(database, run.roadmap_id)
    stranger = await ensure_user(database, new_id(), "bob@example.org")
    async with database.transaction() as tx:
        with pytest.raises(NotFound):
            await complete_roadmap(tx, stranger, run.roadmap_id, None)
    await database.execute("UPDATE roadmaps SET deleted_at = now()")
    with pytest.raises(NotFound):
        await complete(database, run.roadmap_id)
    assert await database.fetchval("SELECT count(*) FROM runs") == 1


async def test_a_budget_is_raised_lifted_or_left_as_it_was(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    async def budget() -> int | None:
        found: int | None = await database.fetchval("SELECT max_cost_micros FROM roadmaps")
        return found

    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        run = await incomplete_run(tools, server)
    await database.execute("UPDATE roadmaps SET max_cost_micros = 7")
    for given, expected in ((None, 7), (NewBudget(900), 900), (NewBudget(None), None)):
        await complete(database, run.roadmap_id, given)
        assert await budget() == expected
        await database.execute("UPDATE runs SET status = 'incomplete', finished_at = now() WHERE status = 'writing'")


@pytest.mark.parametrize("planned", [True, False])
async def test_of_many_at_once_one_begins_and_the_others_are_told_so(
    database: Database, redis_url: str, server: ModelServer, planned: bool
) -> None:
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        if planned:
            roadmap_id = (await incomplete_run(tools, server)).roadmap_id
        else:
            roadmap_id = (await queued_run(database)).roadmap_id
            await database.execute("UPDATE runs SET status = 'failed', finished_at = now(), due_at = NULL")
    for _ in range(5):
        ends = await asyncio.gather(*(complete(database, roadmap_id) for _ in range(5)), return_exceptions=True)
        begun = [end for end in ends if isinstance(end, Begun)]
        assert len(begun) == 1
        assert [type(end) for end in ends if end not in begun] == [Conflict] * 4
        assert (await latest(database, roadmap_id))["id"] == begun[0].run_id
        await database.execute(
            "UPDATE runs SET status = 'incomplete', finished_at = now(), due_at = NULL WHERE id = $1", begun[0].run_id
        )
