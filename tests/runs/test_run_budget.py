"""What a budget does to a run: it ends `incomplete` and keeps what it has; who waits for the calls of others waits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from model_server import Behaviour, Call, ModelServer, stall, status
from waiting import eventually
from worker_here import WritingRun, open_tools, pass_time, queued_run, run_of, writing_run

from roadmap.database import Database
from roadmap.llm.client import Endpoint
from roadmap.llm.offline.answers import answer
from roadmap.llm.offline.protocol import read_question, write_completion, write_reply
from roadmap.roadmaps.model import Kind
from roadmap.runs.draft import draft
from roadmap.runs.tools import Tools
from roadmap.runs.write import write_concept

PRICE = 100  # micro-dollars for each call


def paid(call: Call) -> Behaviour:
    """Answers as the built-in provider does, for PRICE."""
    question = read_question(orjson.dumps(call.body))
    reply = orjson.loads(write_completion(write_reply(question, answer(question.asked))))
    return status(200, {}, {**reply, "usage": {"prompt_tokens": 0, "completion_tokens": PRICE}})


def paid_at(opened: asyncio.Event) -> Callable[[Call], Behaviour]:
    """As `paid`, when the event has happened."""

    async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
        await opened.wait()
        await paid(call)(call, writer)

    return lambda _: behave


@pytest.fixture
async def tools(database: Database, redis_url: str, server: ModelServer) -> AsyncIterator[Tools]:
    """A token of the answer costs a micro-dollar; a call could cost some thousands."""
    server.default = paid
    async with open_tools(database, redis_url, Endpoint("small", server.url, output_price=1_000_000)) as opened:
        yield opened


async def limit(db: Database, roadmap_id: UUID, micros: int) -> None:
    await db.execute("UPDATE roadmaps SET max_cost_micros = $2 WHERE id = $1", roadmap_id, micros)


async def write_until_done(tools: Tools, run: WritingRun) -> None:
    """As the sweeper brings the pieces back, until the run has ended."""
    for _ in range(30):
        for concept_id in run.concepts:
            await write_concept(tools, run.id, concept_id)
        if (await run_of(run.db, run.id))["finished_at"]:
            return
        await run.pass_time()
    pytest.fail("the run does not end")


async def ended(db: Database, roadmap_id: UUID) -> dict[str, Any]:
    query = "SELECT type, payload FROM events WHERE roadmap_id = $1 ORDER BY seq DESC LIMIT 1"
    row = await db.fetchrow(query, roadmap_id)
    assert row is not None
    return {"type": row["type"], **row["payload"]}


async def total(db: Database, roadmap_id: UUID) -> int:
    query = "SELECT coalesce(sum(spent_micros), 0)::int FROM call_costs JOIN runs ON runs.id = run_id"
    spent: int = await db.fetchval(f"{query} WHERE roadmap_id = $1", roadmap_id)
    return spent


async def test_a_run_that_has_spent_its_budget_ends_incomplete_and_keeps_what_it_has(
    database: Database, tools: Tools, server: ModelServer
) -> None:
    run = await writing_run(database, 3)
    await limit(database, run.roadmap_id, 450)

    await write_until_done(tools, run)

    pieces = await run.pieces()
    ready = [piece for piece in pieces if piece["status"] == "ready"]
    failed = [piece for piece in pieces if piece["status"] == "failed"]
    assert len(server.calls) == len(ready) == 5
    assert await total(database, run.roadmap_id) == 500
    assert {(p["error_code"], p["failures"], p["crashes"]) for p in failed} == {("budget_exceeded", 1, 0)}
    told = "this roadmap's budget is spent: 500 of 450 micro-dollars"
    row = await run_of(database, run.id)
    assert (row["status"], row["error_code"], row["error_message"]) == ("incomplete", "budget_exceeded", told)
    last = await ended(database, run.roadmap_id)
    assert (last["type"], last["code"], last["message"]) == ("run.incomplete", "budget_exceeded", told)


async def test_a_run_that_fails_for_another_reason_has_no_code(
    database: Database, tools: Tools, server: ModelServer
) -> None:
    run = await writing_run(database, kinds=(Kind.TUTORIAL,))
    await limit(database, run.roadmap_id, 1_000_000)
    server.default = lambda _: status(401)

    await write_until_done(tools, run)

    row = await run_of(database, run.id)
    assert (row["status"], row["error_code"], row["error_message"]) == ("incomplete", None, None)
    assert "code" not in await ended(database, run.roadmap_id)


async def test_pieces_wait_for_what_the_calls_under_way_will_cost_and_lose_no_try(
    database: Database, tools: Tools, server: ModelServer
) -> None:
    run = await writing_run(database, 3, (Kind.TUTORIAL,))
    await limit(database, run.roadmap_id, 201)
    opened = asyncio.Event()
    server.default = paid_at(opened)
    slow = asyncio.create_task(write_concept(tools, run.id, run.concepts[0]))
    await eventually(lambda: len(server.calls) == 1, "the first tutorial is asked for")

    for _ in range(4):
        await run.pass_time()
        for concept_id in run.concepts[1:]:
            await write_concept(tools, run.id, concept_id)

    for place in (1, 2):
        row = await run.piece(place=place)
        assert (row["status"], row["claim"], row["failures"], row["crashes"]) == ("pending", 4, 0, 0)
        assert timedelta(0) < row["due_in"] < timedelta(seconds=2)
    assert len(server.calls) == 1
    opened.set()
    await slow
    await run.pass_time()
    await write_until_done(tools, run)
    assert {piece["status"] for piece in await run.pieces()} == {"ready"}
    assert await total(database, run.roadmap_id) == 300, "which is above the limit by less than one call"
    assert (await run_of(database, run.id))["status"] == "succeeded"


async def test_waiting_for_the_budget_leaves_no_trace_in_the_log(
    database: Database, tools: Tools, server: ModelServer
) -> None:
    run = await writing_run(database, 2, (Kind.TUTORIAL,))
    await limit(database, run.roadmap_id, 50)
    server.default = lambda _: stall()
    slow = asyncio.create_task(write_concept(tools, run.id, run.concepts[0]))
    await eventually(lambda: len(server.calls) == 1, "the first tutorial is asked for")
    before = tools.recorder.counters.noted
    await write_concept(tools, run.id, run.concepts[1])
    assert (await run.piece(place=1))["status"] == "pending"
    assert tools.recorder.counters.noted == before
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow


async def test_a_call_that_was_canceled_counts_against_the_budget(
    database: Database, tools: Tools, server: ModelServer
) -> None:
    run = await writing_run(database, kinds=(Kind.TUTORIAL,))
    await limit(database, run.roadmap_id, 1_000)  # a sixth of what a tutorial can cost
    server.default = lambda _: stall()
    slow = asyncio.create_task(write_concept(tools, run.id, run.concepts[0]))
    await eventually(lambda: len(server.calls) == 1, "the tutorial is asked for")
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    await run.pass_time()

    await write_concept(tools, run.id, run.concepts[0])

    assert (await run.piece())["error_code"] == "budget_exceeded"
    assert len(server.calls) == 1


async def test_a_piece_that_was_lost_has_its_calls_settled(
    database: Database, tools: Tools, server: ModelServer
) -> None:
    run = await writing_run(database, kinds=(Kind.TUTORIAL,))
    opened = asyncio.Event()
    server.default = paid_at(opened)
    job = asyncio.create_task(write_concept(tools, run.id, run.concepts[0]))
    await eventually(lambda: len(server.calls) == 1, "the tutorial is asked for")
    await database.execute("UPDATE content SET claim = claim + 1, claimed_by = 'w9'")
    opened.set()
    await job
    rows = await database.fetch("SELECT status, cost_micros FROM model_calls")
    assert [tuple(row) for row in rows] == [("ok", PRICE)]


async def test_a_draft_that_has_spent_its_budget_fails_and_keeps_its_steps(
    database: Database, tools: Tools, server: ModelServer
) -> None:
    started = await queued_run(database)
    await limit(database, started.roadmap_id, 100)

    await draft(tools, started.run_id)

    row = await run_of(database, started.run_id)
    assert (row["status"], row["error_code"]) == ("failed", "budget_exceeded")
    assert [call.purpose for call in server.calls] == ["intent"]
    assert await database.fetchval("SELECT array_agg(key) FROM run_steps") == ["intent"]
    assert (await ended(database, started.roadmap_id))["code"] == "budget_exceeded"


async def test_a_plan_that_is_sound_is_kept_when_nothing_is_left_for_its_critique(
    database: Database, tools: Tools, server: ModelServer
) -> None:
    started = await queued_run(database)
    await limit(database, started.roadmap_id, 200)

    await draft(tools, started.run_id)

    assert [call.purpose for call in server.calls] == ["intent", "outline"]
    assert (await run_of(database, started.run_id))["status"] == "writing"
    report = await database.fetchval("SELECT report FROM roadmap_versions")
    assert report["critique"] == {"status": "missing", "code": "budget_exceeded"}


async def test_a_draft_waits_for_what_the_learners_other_calls_will_cost(
    database: Database, tools: Tools, server: ModelServer
) -> None:
    run = await writing_run(database, kinds=(Kind.TUTORIAL,))
    started = await queued_run(database)
    await _give(database, started.run_id, run.id)
    tools = replace(tools, learner_daily_micros=150)
    async with _under_way(server, lambda: write_concept(tools, run.id, run.concepts[0])):
        for _ in range(3):
            await pass_time(database)
            await draft(tools, started.run_id)
        row = await run_of(database, started.run_id)
        assert (row["status"], row["failures"], row["crashes"], row["claim"]) == ("drafting", 0, 0, 3)
        assert len(server.calls) == 1
    await pass_time(database)
    await draft(tools, started.run_id)
    assert [call.purpose for call in server.calls] == ["tutorial", "intent"]
    row = await run_of(database, started.run_id)
    assert row["error_message"] == "your budget for a day (UTC) is spent: 200 of 150 micro-dollars"


async def test_a_learners_day_holds_over_all_roadmaps_and_for_nobody_else(
    database: Database, tools: Tools, server: ModelServer
) -> None:
    first, second, other = [await writing_run(database, 2) for _ in range(3)]
    await _give(database, second.id, first.id)
    tools = replace(tools, learner_daily_micros=350)

    await write_until_done(tools, first)
    await write_until_done(tools, second)
    await write_until_done(tools, other)

    spent = [await total(database, run.roadmap_id) for run in (first, second, other)]
    assert spent == [400, 0, 400]
    assert {piece["error_code"] for piece in await second.pieces()} == {"budget_exceeded"}
    assert (await run_of(database, second.id))["error_code"] == "budget_exceeded"


async def _give(db: Database, run_id: UUID, like: UUID) -> None:
    """A run and its roadmap to the learner of another run."""
    owner = "(SELECT user_id FROM runs WHERE id = $2)"
    await db.execute(f"UPDATE roadmaps SET user_id = {owner} WHERE latest_run_id = $1", run_id, like)
    await db.execute(f"UPDATE runs SET user_id = {owner} WHERE id = $1", run_id, like)


@asynccontextmanager
async def _under_way(server: ModelServer, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """While the block runs the work waits for its model; then it ends."""
    opened = asyncio.Event()
    server.default = paid_at(opened)
    job = asyncio.ensure_future(work())
    await eventually(lambda: len(server.calls) == 1, "the model is asked")
    yield
    opened.set()
    await job
    server.default = paid
