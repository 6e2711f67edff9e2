"""Workers are killed, frozen and stopped in mid-run: the run completes, what was finished is kept, nothing twice."""

import asyncio
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from history import History, Mark
from waiting import eventually
from whole import BODIES, PIECES, Whole, check_run, offline, open_whole, rows

CONCURRENCY = 5
IN_FLIGHT = 2 * CONCURRENCY  # the tutorial or the quiz, and the resources
FINISHED = "SELECT concept_id, kind, version, body, created_at FROM content_versions WHERE roadmap_id = $1"
PLANS = "SELECT version FROM roadmap_versions WHERE roadmap_id = $1"
DRAFT = "SELECT status, claimed_by, failures, crashes FROM runs WHERE roadmap_id = $1"


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url, CONTENT_CONCURRENCY=str(CONCURRENCY)) as opened:
        opened.model.default = offline(0.15)
        yield opened


@pytest.mark.fault("F1")
async def test_a_killed_content_worker_that_is_started_again_finishes_what_is_left(
    whole: Whole, history: History
) -> None:
    await whole.stack.start("content", "logs")
    roadmap_id = await whole.create()
    await whole.ready(12)
    await _kill(whole, history)
    kept = await _finished(whole, roadmap_id)
    await whole.stack.start("content")
    assert (await whole.finish(roadmap_id, within=20))["status"] == "succeeded"
    await check_run(whole.db, roadmap_id)
    now = await _finished(whole, roadmap_id)
    assert len(kept) >= 12
    assert {key: now[key] for key in kept} == kept
    _check_calls(whole)
    await history.check()


@pytest.mark.fault("F1")
@pytest.mark.slow
async def test_a_second_content_worker_takes_over_from_a_killed_one(whole: Whole, history: History) -> None:
    await whole.stack.start("content", "content:second", "logs")
    roadmap_id = await whole.create()
    await whole.ready(12)
    await _kill(whole, history)
    assert (await whole.finish(roadmap_id))["status"] == "succeeded"
    await check_run(whole.db, roadmap_id)
    _check_calls(whole)
    await history.check()


@pytest.mark.fault("F1")
async def test_a_content_worker_killed_while_it_drafts_pays_for_no_committed_step_again(
    whole: Whole, history: History
) -> None:
    await whole.stack.start("content", "logs")
    roadmap_id = await whole.create()
    await eventually(lambda: whole.model.count(purpose="critique"), "the critique is asked for")
    await _kill(whole, history)
    await whole.stack.start("content")
    assert (await whole.finish(roadmap_id))["status"] == "succeeded"
    await check_run(whole.db, roadmap_id)
    assert whole.model.count(purpose="intent") == whole.model.count(purpose="outline") == 1
    await history.check()


@pytest.mark.fault("F5")
async def test_sigterm_with_a_short_grace_hands_back_at_once_and_costs_nothing(whole: Whole, history: History) -> None:
    whole.model.default = offline(1.0)
    await whole.stack.start("logs")
    await whole.stack.start("content", SHUTDOWN_GRACE="1")
    roadmap_id = await whole.create()
    await whole.ready(3)
    history.fault("SIGTERM content")
    assert await whole.stack.terminate("content", within=5) == 0
    assert "Traceback" not in whole.stack["content"].text()
    held = await rows(whole.db, PIECES, roadmap_id)
    assert [piece for piece in held if piece["claimed_by"]] == []
    before = len(whole.model.calls)
    whole.model.default = offline(0.05)
    await whole.stack.start("content")
    await whole.calls(before + IN_FLIGHT // 2, within=5)
    await whole.finish(roadmap_id)
    pieces = await check_run(whole.db, roadmap_id)
    assert {(piece["failures"], piece["crashes"]) for piece in pieces} == {(0, 0)}
    await history.check()


@pytest.mark.fault("F5")
@pytest.mark.slow
async def test_sigterm_with_a_long_grace_finishes_the_jobs_that_run_and_begins_no_other(
    whole: Whole, history: History
) -> None:
    whole.model.default = offline(0.4)
    await whole.stack.start("logs")
    await whole.stack.start("content", SHUTDOWN_GRACE="15")
    roadmap_id = await whole.create()
    await whole.ready(2)
    history.fault("SIGTERM content")
    assert await whole.stack.terminate("content", within=10) == 0
    pieces = await rows(whole.db, PIECES, roadmap_id)
    by_concept = Counter(piece["concept_id"] for piece in pieces if piece["status"] == "ready")
    assert set(by_concept.values()) == {3}
    assert [piece for piece in pieces if piece["claimed_by"]] == []
    assert "Traceback" not in whole.stack["content"].text()
    whole.model.default = offline(0.05)
    await whole.stack.start("content")
    await whole.finish(roadmap_id)
    pieces = await check_run(whole.db, roadmap_id)
    assert {(piece["failures"], piece["crashes"]) for piece in pieces} == {(0, 0)}
    assert max(Counter(call.prompt for call in whole.model.calls).values()) == 1
    await history.check()


@pytest.mark.fault("F5")
async def test_sigterm_while_a_plan_is_drafted_hands_it_back_or_finishes_it(whole: Whole, history: History) -> None:
    """The grace is too short for the outline of the first, and long enough for all of the second."""
    whole.model.default = lambda call: offline(2.0 if call.purpose == "outline" else 0.0)(call)
    await whole.stack.start("logs")
    await whole.stack.start("content", SHUTDOWN_GRACE="1")
    roadmap_id = await whole.create(size="small")
    await eventually(lambda: whole.model.count(purpose="outline"), "the outline is asked for")
    history.fault("SIGTERM content")
    assert await whole.stack.terminate("content", within=4) == 0
    assert await _draft(whole, roadmap_id) == {"status": "drafting", "claimed_by": None, "failures": 0, "crashes": 0}
    await whole.stack.start("content", SHUTDOWN_GRACE="20")
    await eventually(lambda: whole.model.count(purpose="outline") == 2, "it is asked for again")
    history.fault("SIGTERM content")
    assert await whole.stack.terminate("content", within=15) == 0
    assert await _draft(whole, roadmap_id) == {"status": "writing", "claimed_by": None, "failures": 0, "crashes": 0}
    assert (whole.model.count(purpose="intent"), whole.model.count(purpose="tutorial")) == (1, 0)
    assert [child.text() for child in whole.stack.everyone if "Traceback" in child.text()] == []
    await whole.stack.start("content")
    assert (await whole.finish(roadmap_id))["status"] == "succeeded"
    await check_run(whole.db, roadmap_id)
    assert (whole.model.count(purpose="intent"), whole.model.count(purpose="outline")) == (1, 2)
    await history.check()


@pytest.mark.fault("F6")
@pytest.mark.slow
async def test_a_signal_while_the_database_is_awaited_ends_with_0(whole: Whole) -> None:
    nowhere = f"postgresql://roadmap@127.0.0.1:{free_port()}/roadmap"
    for name in ("content", "logs"):
        child = await whole.stack.launch(name, DATABASE_URL=nowhere)
        await child.says("database_away")
        assert await whole.stack.terminate(name, within=5) == 0
        assert "Traceback" not in child.text()


@pytest.mark.fault("F6")
async def test_repeated_signals_end_with_0(whole: Whole) -> None:
    await whole.stack.start("content", "logs")
    for _ in range(20):
        for name in ("content", "logs"):
            whole.stack[name].signal(signal.SIGTERM)
        await asyncio.sleep(0.02)  # into every moment of the shutdown
    assert [await whole.stack[name].exits(within=5) for name in ("content", "logs")] == [0, 0]
    assert "Traceback" not in whole.stack["content"].text() + whole.stack["logs"].text()


@pytest.mark.fault("F4")
async def test_a_frozen_worker_that_wakes_up_writes_nothing_over_its_successors_work(
    whole: Whole, history: History
) -> None:
    whole.model.default = offline(0.5)
    await whole.stack.start("content", "content:second", "logs")
    roadmap_id = await whole.create()
    await whole.ready(4)
    history.fault("SIGSTOP content", Mark.HIDES)
    whole.stack["content"].signal(signal.SIGSTOP)
    frozen = {
        (piece["concept_id"], piece["kind"])
        for piece in await rows(whole.db, PIECES, roadmap_id)
        if piece["status"] == "writing" and piece["claimed_by"]
    }
    # It may have frozen in a transaction: then PostgreSQL ends that after 5 s, before anything else goes on.
    assert (await whole.finish(roadmap_id, within=60))["status"] == "succeeded"
    kept = await _finished(whole, roadmap_id)
    whole.stack["content"].signal(signal.SIGCONT)
    await eventually(lambda: whole.stack["content"].notes("writing stopped"), "the late job ends", within=10)
    await check_run(whole.db, roadmap_id)
    assert frozen
    assert await _finished(whole, roadmap_id) == kept
    assert await rows(whole.db, BODIES + " AND version > 1", roadmap_id) == []
    await history.check()


@pytest.mark.fault("F4")
async def test_a_frozen_worker_that_wakes_up_commits_no_second_plan(whole: Whole, history: History) -> None:
    whole.model.default = lambda call: offline(0.5 if call.purpose == "outline" else 0.0)(call)
    await whole.stack.start("content", "logs")
    roadmap_id = await whole.create(size="small")
    await eventually(lambda: whole.model.count(purpose="outline"), "the outline is asked for")
    history.fault("SIGSTOP content", Mark.HIDES)
    whole.stack["content"].signal(signal.SIGSTOP)
    await whole.stack.start("content:second")
    assert (await whole.finish(roadmap_id))["status"] == "succeeded"
    whole.stack["content"].signal(signal.SIGCONT)
    await eventually(lambda: whole.stack["content"].notes("drafting stopped"), "the late job ends", within=10)
    await check_run(whole.db, roadmap_id)
    assert await rows(whole.db, PLANS, roadmap_id) == [{"version": 1}]
    assert whole.model.count(purpose="outline") == 2
    await history.check()


async def _kill(whole: Whole, history: History) -> None:
    history.fault("kill -9 content", Mark.HIDES)
    await whole.stack.kill("content")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def _finished(whole: Whole, roadmap_id: str) -> dict[Any, Any]:
    found = await rows(whole.db, FINISHED, roadmap_id)
    return {(row["concept_id"], row["kind"]): (row["version"], row["body"], row["created_at"]) for row in found}


async def _draft(whole: Whole, roadmap_id: str) -> dict[str, Any]:
    (draft,) = await rows(whole.db, DRAFT, roadmap_id)
    return draft


def _check_calls(whole: Whole) -> None:
    """After one death: of each piece in flight at most one call more, of all others none."""
    counted = Counter(call.prompt for call in whole.model.calls)
    assert max(counted.values()) <= 2
    assert counted.total() - len(counted) <= IN_FLIGHT
