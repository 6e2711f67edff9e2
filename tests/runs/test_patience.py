"""How often work is tried: what a time-out, an outage, a long outage and a bug cost a piece and a draft."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
from model_server import Behaviour, ModelServer, answer, reset, stall, status
from pooler import direct
from waiting import eventually
from whole import offline
from worker_here import WritingRun, open_tools, pass_time, queued_run, run_of, writing_run

from roadmap.database import Database, Pool, open_database
from roadmap.llm.client import Endpoint
from roadmap.roadmaps.model import Kind
from roadmap.runs.draft import draft
from roadmap.runs.sweeper import Sweeper
from roadmap.runs.tools import Tools
from roadmap.runs.write import write_concept

TIMEOUTS = 5
FAILURES = 2
ONE = (Kind.TUTORIAL,)
OUTAGES = [
    pytest.param(status(429, {"retry-after": "33"}), id="too many"),
    pytest.param(status(500), id="an error"),
    pytest.param(reset(in_body=False), id="a reset"),
    pytest.param(None, id="nobody there"),
]


@asynccontextmanager
async def tools_for(
    db: Database, redis_url: str, server: ModelServer, behaviour: Behaviour | None
) -> AsyncIterator[Tools]:
    """Tools whose model always behaves so (None: there is none). A call may take 0.2 s."""
    if behaviour is not None:
        server.default = lambda _: behaviour
        async with open_tools(db, redis_url, Endpoint("small", server.url, timeout=0.2)) as tools:
            yield tools
        return
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        async with open_tools(db, redis_url, Endpoint("small", url, timeout=5)) as tools:
            yield tools


@pytest.mark.fault("F19")
async def test_a_piece_that_times_out_costs_a_try_each_time_and_fails_after_five(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database, kinds=ONE)
    async with tools_for(database, redis_url, server, stall()) as tools:
        for tries in range(1, TIMEOUTS):
            await write_concept(tools, run.id, run.concepts[0])
            row = await run.piece()
            assert (row["status"], row["failures"], row["crashes"]) == ("pending", tries, 0)
            assert timedelta(seconds=5) < row["due_in"], "the model gets a pause"
            await run.pass_time()
        await write_concept(tools, run.id, run.concepts[0])
    row = await run.piece()
    assert (row["status"], row["error_code"], row["failures"]) == ("failed", "model_timeout", TIMEOUTS)
    assert len(server.calls) == TIMEOUTS
    assert (await run_of(database, run.id))["status"] == "incomplete"
    calls = await database.fetch("SELECT status FROM model_calls")
    assert [call["status"] for call in calls] == ["outage"] * TIMEOUTS


@pytest.mark.fault("F19")
async def test_a_draft_that_times_out_costs_a_try_each_time_and_fails_after_five(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run_id = (await queued_run(database)).run_id
    async with tools_for(database, redis_url, server, stall()) as tools:
        for tries in range(1, TIMEOUTS):
            await draft(tools, run_id)
            row = await run_of(database, run_id)
            assert (row["status"], row["failures"], row["crashes"]) == ("drafting", tries, 0)
            assert timedelta(seconds=5) < row["due_in"]
            await pass_time(database)
        await draft(tools, run_id)
    row = await run_of(database, run_id)
    assert (row["status"], row["error_code"]) == ("failed", "model_timeout")
    assert len(server.calls) == TIMEOUTS


@pytest.mark.fault("F19")
@pytest.mark.parametrize("behaviour", OUTAGES)
async def test_other_outages_cost_no_try_however_often(
    database: Database, redis_url: str, server: ModelServer, behaviour: Behaviour | None
) -> None:
    run, drafted = await writing_run(database), (await queued_run(database)).run_id
    async with tools_for(database, redis_url, server, behaviour) as tools:
        for _ in range(TIMEOUTS + 2):
            await run.pass_time()
            await pass_time(database)
            await write_concept(tools, run.id, run.concepts[0])
            await draft(tools, drafted)
    pieces = await run.pieces()
    assert {(p["status"], p["failures"], p["crashes"], p["claimed_by"]) for p in pieces} == {("pending", 0, 0, None)}
    assert min(piece["claim"] for piece in pieces) == TIMEOUTS + 2, "each of them was tried each time"
    row = await run_of(database, drafted)
    assert (row["status"], row["failures"], row["crashes"], row["claim"]) == ("drafting", 0, 0, TIMEOUTS + 2)


@pytest.mark.parametrize(("hours", "expected"), [(23, "pending"), (25, "failed")])
async def test_a_piece_that_meets_an_outage_after_a_day_is_given_up(
    database: Database, redis_url: str, server: ModelServer, hours: int, expected: str
) -> None:
    run = await writing_run(database, kinds=ONE)
    await database.execute("UPDATE runs SET planned_at = now() - make_interval(hours => $1)", hours)
    async with tools_for(database, redis_url, server, status(503)) as tools:
        await write_concept(tools, run.id, run.concepts[0])
    row = await run.piece()
    assert row["status"] == expected
    assert row["error_code"] == ("provider_unavailable" if expected == "failed" else None)
    assert (await run_of(database, run.id))["status"] == ("incomplete" if expected == "failed" else "writing")


@pytest.mark.parametrize(("hours", "expected"), [(23, "drafting"), (25, "failed")])
async def test_a_draft_that_meets_an_outage_after_a_day_is_given_up(
    database: Database, redis_url: str, server: ModelServer, hours: int, expected: str
) -> None:
    run_id = (await queued_run(database)).run_id
    await database.execute("UPDATE runs SET created_at = now() - make_interval(hours => $1)", hours)
    async with tools_for(database, redis_url, server, status(503)) as tools:
        await draft(tools, run_id)
    row = await run_of(database, run_id)
    assert row["status"] == expected
    assert row["error_code"] == ("provider_unavailable" if expected == "failed" else None)


async def test_after_a_day_a_quiz_still_waits_for_a_tutorial_that_is_tried_again(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database, kinds=(Kind.TUTORIAL, Kind.QUIZ))
    await database.execute("UPDATE runs SET planned_at = now() - interval '25 hours'")
    server.script(answer("too short"), purpose="tutorial")
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        server.default = offline()
        await write_concept(tools, run.id, run.concepts[0])
        assert await run.statuses() == {"pending"}
        await run.pass_time()
        await write_concept(tools, run.id, run.concepts[0])
    assert await run.statuses() == {"ready"}


async def _store_unknown_size(db: Database) -> None:
    await db.execute("UPDATE roadmaps SET preferences = jsonb_set(preferences, '{size}', '\"huge\"')")


async def test_a_draft_whose_preferences_cannot_be_read_fails_after_its_tries(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run_id = (await queued_run(database)).run_id
    await _store_unknown_size(database)
    async with tools_for(database, redis_url, server, stall()) as tools:
        for tries in range(1, FAILURES + 1):
            await draft(tools, run_id)
            row = await run_of(database, run_id)
            assert (row["status"] == "failed", row["crashes"]) == (tries == FAILURES, 0)
            await pass_time(database)
    assert row["error_code"] == "internal"
    assert server.calls == []


async def test_pieces_whose_preferences_cannot_be_read_fail_after_their_tries(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database)
    await _store_unknown_size(database)
    await _check_internal(run, redis_url, server)


async def test_pieces_whose_plan_is_gone_fail_after_their_tries(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database)
    await database.execute("DELETE FROM roadmap_versions")
    await _check_internal(run, redis_url, server)


async def _check_internal(run: WritingRun, redis_url: str, server: ModelServer) -> None:
    async with tools_for(run.db, redis_url, server, stall()) as tools:
        for tries in range(1, FAILURES + 1):
            await write_concept(tools, run.id, run.concepts[0])
            found = {(p["failures"], p["crashes"], p["claimed_by"]) for p in await run.pieces()}
            assert found == {(tries, 0, None)}
            await run.pass_time()
    assert {(piece["status"], piece["error_code"]) for piece in await run.pieces()} == {("failed", "internal")}
    assert (await run_of(run.db, run.id))["status"] == "incomplete"
    assert server.calls == []


LOCK_RUN = "SELECT 1 FROM runs WHERE id = $1 FOR NO KEY UPDATE"


@pytest.mark.fault("F4")
async def test_a_piece_that_cannot_be_settled_for_longer_than_a_lease_counts_no_crash(
    database: Database, database_url: str, redis_url: str, server: ModelServer
) -> None:
    run, lease = await writing_run(database, kinds=ONE), 3.0
    server.default = offline()
    pool = Pool(direct(database_url), size=3, name="hurried", reserved=1, statement_timeout=0.5)
    async with (
        open_database(pool) as hurried,
        open_tools(hurried, redis_url, Endpoint("small", server.url), lease) as tools,
        asyncio.TaskGroup() as group,
    ):
        sweeper, began = Sweeper(database, tools.queue, 0.0), time.monotonic()

        async def sweep() -> bool:
            await sweeper.sweep()
            return time.monotonic() > began + 1.5 * lease

        frozen = await asyncpg.connect(direct(database_url))  # no time-out of ours ends its transaction
        async with frozen.transaction():
            await frozen.execute(LOCK_RUN, run.id)
            writing = group.create_task(write_concept(tools, run.id, run.concepts[0]))
            await eventually(sweep, "the lease would have run out")
            assert not writing.done()
        await writing
        await frozen.close()
    piece = await run.piece()
    assert (piece["status"], piece["crashes"], piece["claim"]) == ("ready", 0, 1)
