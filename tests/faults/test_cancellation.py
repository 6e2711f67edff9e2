"""Cancel: at once for whoever asks, soon for the workers, and what is ready stays."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from history import History, Mark
from waiting import eventually
from whole import EVENTS, Whole, check_queues, check_run, offline, open_whole, rows

LATE_CALLS = """
SELECT purpose FROM model_calls JOIN runs ON runs.id = run_id
WHERE roadmap_id = $1 AND model_calls.created_at > finished_at + interval '2 seconds'
"""
FINISHED = "SELECT concept_id, kind, version, body, created_at FROM content_versions WHERE roadmap_id = $1"


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url, CONTENT_CONCURRENCY="10") as opened:
        yield opened


@pytest.mark.fault("F32")
async def test_canceling_while_ten_concepts_are_written_ends_the_calls_and_keeps_what_is_ready(
    whole: Whole, history: History
) -> None:
    await whole.stack.start("content", "logs")
    whole.model.default = offline(1.0)
    roadmap_id = await whole.create()
    await whole.ready(8)
    run = (await whole.api.get(f"/v1/roadmaps/{roadmap_id}")).json()["run"]["id"]
    kept = await rows(whole.db, FINISHED, roadmap_id)
    canceled = await whole.api.post(f"/v1/runs/{run}/cancel")
    before = len(whole.model.calls)
    again = await whole.api.post(f"/v1/runs/{run}/cancel")
    assert canceled.status_code == again.status_code == 200
    assert canceled.json()["status"] == "canceled"
    assert again.json() == canceled.json()
    await check_queues(whole.redis)
    settled = len(whole.model.calls)
    pieces = await check_run(whole.db, roadmap_id, "run.canceled")
    # Whoever was between its question to the ledger and its call may still have made it; nobody after that.
    assert settled <= before + 10
    assert await rows(whole.db, LATE_CALLS, roadmap_id) == []
    assert {piece["status"] for piece in pieces} == {"ready", "pending"}
    assert whole.stack["content"].notes("writing stopped")
    assert [event["type"] for event in await rows(whole.db, EVENTS, roadmap_id)].count("run.canceled") == 1
    assert len(kept) >= 8
    assert [body for body in kept if body not in await rows(whole.db, FINISHED, roadmap_id)] == []
    await history.check()
    assert len(whole.model.calls) == settled


@pytest.mark.fault("F32")
async def test_a_cancellation_that_no_worker_is_told_of_ends_the_calls_as_well(whole: Whole, history: History) -> None:
    await whole.stack.start("content", "logs")
    whole.model.default = lambda call: offline(30.0 if call.purpose == "tutorial" else 0.0)(call)
    roadmap_id = await whole.create()
    await eventually(lambda: whole.model.count(purpose="tutorial") == 10, "ten concepts are written")
    run = (await whole.api.get(f"/v1/roadmaps/{roadmap_id}")).json()["run"]["id"]
    history.fault("redis takes no writes", Mark.AWAY)
    async with whole.no_writes_in_redis():
        assert (await whole.api.post(f"/v1/runs/{run}/cancel")).json()["status"] == "canceled"
        content = whole.stack["content"]
        # The heartbeat finds that the pieces are not ours any more: within a third of a lease.
        await eventually(lambda: len(content.notes("writing stopped")) == 10, "the jobs end", within=10)
        assert content.lines("redis_away")
    await history.check()
    await check_run(whole.db, roadmap_id, "run.canceled")
    assert whole.model.count(purpose="tutorial") == 10
    assert await rows(whole.db, LATE_CALLS, roadmap_id) == []


@pytest.mark.fault("F32")
async def test_a_run_canceled_in_the_queue_is_never_begun(whole: Whole) -> None:
    roadmap_id = await whole.create()
    run = (await whole.api.get(f"/v1/roadmaps/{roadmap_id}")).json()["run"]["id"]
    assert (await whole.api.post(f"/v1/runs/{run}/cancel")).json()["status"] == "canceled"
    await whole.stack.start("content")
    await check_queues(whole.redis)
    await check_run(whole.db, roadmap_id, "run.canceled")
    assert whole.model.calls == []


@pytest.mark.fault("F32")
async def test_a_run_canceled_while_it_is_drafted_ends_there(whole: Whole) -> None:
    await whole.stack.start("content")
    whole.model.default = offline(1.0)
    roadmap_id = await whole.create()
    await whole.calls(2)
    run = (await whole.api.get(f"/v1/roadmaps/{roadmap_id}")).json()["run"]["id"]
    assert (await whole.api.post(f"/v1/runs/{run}/cancel")).json()["status"] == "canceled"
    await eventually(lambda: whole.stack["content"].notes("drafting stopped"), "the draft ends", within=2)
    assert len(whole.model.calls) == 2
    assert await check_run(whole.db, roadmap_id, "run.canceled") == []


@pytest.mark.fault("F32")
async def test_canceling_after_the_end_changes_nothing(whole: Whole) -> None:
    await whole.stack.start("content")
    roadmap_id = await whole.create()
    roadmap = await whole.finish(roadmap_id)
    answer = (await whole.api.post(f"/v1/runs/{roadmap['run']['id']}/cancel")).json()
    assert answer["status"] == "succeeded"
    await check_run(whole.db, roadmap_id)
