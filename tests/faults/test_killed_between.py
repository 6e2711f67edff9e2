"""A content worker is killed between two of its moments: the model's answer, the commit, and the queue's word of it.

One call at a time, so that all counts are exact.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gate import Gate, commit_gate
from history import History, Mark
from model_server import Behaviour, Call
from waiting import eventually
from whole import Whole, check_run, offline, open_whole, rows

WISHES: dict[str, Any] = {"size": "small", "kinds": ["tutorial"]}
CALLS = """
SELECT purpose, model_calls.concept_id, model_calls.claim, model_calls.status FROM model_calls
JOIN runs ON runs.id = run_id WHERE roadmap_id = $1 ORDER BY model_calls.created_at
"""
PLANS = "SELECT version FROM roadmap_versions WHERE roadmap_id = $1"
DRAFTING = ("intent", "outline", "critique", "revise")
# What is written when the answer of this purpose is committed.
COMMITS = {"outline": "run_steps", "tutorial": "content_versions"}
PURPOSES = ["tutorial", pytest.param("outline", marks=pytest.mark.slow)]


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url, CONTENT_CONCURRENCY="1") as opened:
        yield opened
        await opened.redis.client_unpause()  # other tests come to this Redis


@pytest.mark.fault("F2")
@pytest.mark.parametrize("purpose", PURPOSES)
async def test_an_answer_that_the_killed_worker_may_not_have_read_is_asked_for_once_more(
    whole: Whole, history: History, purpose: str
) -> None:
    async def answer_and_kill(call: Call, writer: asyncio.StreamWriter) -> None:
        await offline()(call)(call, writer)
        await writer.drain()
        history.fault("kill -9 content")
        whole.stack["content"].signal(signal.SIGKILL)

    whole.model.script(answer_and_kill, purpose=purpose)
    await whole.stack.start("content", "logs")
    roadmap_id = await whole.create(**WISHES)
    await whole.stack["content"].exits(within=40)
    await _finish_with_another(whole, history, roadmap_id)
    await _check_one_call_more(whole, roadmap_id, purpose)


@pytest.mark.fault("F2")
@pytest.mark.parametrize("purpose", PURPOSES)
async def test_an_answer_that_dies_with_its_commit_is_asked_for_once_more(
    whole: Whole, history: History, purpose: str
) -> None:
    async with commit_gate(whole.database_url, COMMITS[purpose]) as gate:
        whole.model.script(_close_and_answer(gate), purpose=purpose)
        await whole.stack.start("content", "logs")
        roadmap_id = await whole.create(**WISHES)
        await gate.reached()
        history.fault("kill -9 content", Mark.HIDES)
        await whole.stack.kill("content")
        await gate.open()
        await _finish_with_another(whole, history, roadmap_id)
    await _check_one_call_more(whole, roadmap_id, purpose)


@pytest.mark.fault("F3")
async def test_a_piece_that_was_committed_is_not_written_again_although_its_job_is(
    whole: Whole, history: History
) -> None:
    whole.model.script(_deafen_and_answer(whole, history), purpose="tutorial")
    await whole.stack.start("content", "logs")
    roadmap_id = await whole.create(**WISHES)
    await whole.ready(1)
    history.fault("kill -9 content")
    await whole.stack.kill("content")
    calls = len(whole.model.calls)
    (concept,) = [piece["concept_id"] for piece in await _pieces(whole, roadmap_id) if piece["status"] == "ready"]
    assert [job for job in await _jobs(whole) if concept.hex in job]
    await whole.redis.client_unpause()
    await _finish_with_another(whole, history, roadmap_id)
    assert len(whole.model.calls) == calls + len(await _pieces(whole, roadmap_id)) - 1
    await _check_no_call_more(whole, roadmap_id)


@pytest.mark.fault("F3")
async def test_a_plan_that_was_committed_is_not_drafted_again_although_nobody_was_told(
    whole: Whole, history: History
) -> None:
    """Neither the fan-out nor the end of the draft's job has reached Redis."""
    whole.model.script(_deafen_and_answer(whole, history), purpose="critique")
    await whole.stack.start("content", "logs")
    roadmap_id = await whole.create(**WISHES)
    await eventually(lambda: rows(whole.db, PLANS, roadmap_id), "the plan is committed")
    history.fault("kill -9 content")
    await whole.stack.kill("content")
    assert [job.partition(":")[0] for job in await _jobs(whole)] == ["draft"]
    assert whole.model.count(purpose="tutorial") == 0
    drafted = len(whole.model.calls)
    await whole.redis.client_unpause()
    await whole.pass_time()
    await _finish_with_another(whole, history, roadmap_id)
    assert sum(call.purpose in DRAFTING for call in whole.model.calls) == drafted
    assert await rows(whole.db, PLANS, roadmap_id) == [{"version": 1}]
    await _check_no_call_more(whole, roadmap_id)


def _close_and_answer(gate: Gate) -> Behaviour:
    async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
        await gate.close()
        await offline()(call)(call, writer)

    return behave


def _deafen_and_answer(whole: Whole, history: History) -> Behaviour:
    async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
        history.fault("redis takes no writes", Mark.AWAY)
        await whole.redis.client_pause(60_000, all=False)
        await offline()(call)(call, writer)

    return behave


async def _finish_with_another(whole: Whole, history: History, roadmap_id: str) -> None:
    await whole.stack.start("content")
    assert (await whole.finish(roadmap_id, within=20))["status"] == "succeeded"
    await check_run(whole.db, roadmap_id)
    await history.check()


async def _check_one_call_more(whole: Whole, roadmap_id: str, purpose: str) -> None:
    """Of this purpose, for the same question; the ledger has both calls, and knows nothing of the end of the first."""
    (again,) = _asked_again(whole).elements()
    assert {call.purpose for call in whole.model.calls if call.prompt == again} == {purpose}
    ledger = await rows(whole.db, CALLS, roadmap_id)
    assert len(ledger) == len(whole.model.calls)
    (unknown,) = [row for row in ledger if row["status"] != "ok"]
    assert unknown["status"] == "open"
    same = [row for row in ledger if (row["purpose"], row["concept_id"]) == (purpose, unknown["concept_id"])]
    assert [row["status"] for row in same] == ["open", "ok"]
    assert same[0]["claim"] < same[1]["claim"]


async def _check_no_call_more(whole: Whole, roadmap_id: str) -> None:
    assert not _asked_again(whole)
    assert [row["status"] for row in await rows(whole.db, CALLS, roadmap_id)] == ["ok"] * len(whole.model.calls)


def _asked_again(whole: Whole) -> Counter[str]:
    """Each question that came more than once, with the number of its repetitions."""
    return Counter(call.prompt for call in whole.model.calls) - Counter({call.prompt: 1 for call in whole.model.calls})


async def _pieces(whole: Whole, roadmap_id: str) -> list[dict[str, Any]]:
    return await rows(whole.db, "SELECT concept_id, status FROM content WHERE roadmap_id = $1", roadmap_id)


async def _jobs(whole: Whole) -> list[str]:
    """What is queued or, as far as the queue knows, running."""
    return [job.decode() for job in await whole.redis.zrange("content", 0, -1)]
