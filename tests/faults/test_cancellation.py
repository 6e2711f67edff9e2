"""Cancel: at once for whoever asks, soon for the workers, and what is ready stays."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from waiting import eventually
from whole import EVENTS, Whole, check_queues, check_run, offline, open_whole, rows


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url, CONTENT_CONCURRENCY="10") as opened:
        yield opened


async def test_canceling_while_ten_concepts_are_written_ends_the_calls_and_keeps_what_is_ready(whole: Whole) -> None:
    await whole.stack.start("content", "logs")
    whole.model.default = offline(1.0)
    roadmap_id = await whole.create()
    await whole.ready(8)
    run = (await whole.api.get(f"/v1/roadmaps/{roadmap_id}")).json()["run"]["id"]
    canceled = await whole.api.post(f"/v1/runs/{run}/cancel")
    before = len(whole.model.calls)
    again = await whole.api.post(f"/v1/runs/{run}/cancel")
    assert canceled.status_code == again.status_code == 200
    assert canceled.json()["status"] == "canceled"
    assert again.json() == canceled.json()
    await check_queues(whole.redis, within=2)
    pieces = await check_run(whole.db, roadmap_id, "run.canceled")
    # Whoever was between its question to the ledger and its call may still have made it; nobody after that.
    assert len(whole.model.calls) <= before + 10
    assert {piece["status"] for piece in pieces} == {"ready", "pending"}
    settled = len(whole.model.calls)
    await eventually(lambda: len(whole.stack["content"].notes("writing stopped")) >= 10, "the jobs end", within=5)
    assert len(whole.model.calls) == settled
    assert [event["type"] for event in await rows(whole.db, EVENTS, roadmap_id)].count("run.canceled") == 1


async def test_a_run_canceled_in_the_queue_is_never_begun(whole: Whole) -> None:
    roadmap_id = await whole.create()
    run = (await whole.api.get(f"/v1/roadmaps/{roadmap_id}")).json()["run"]["id"]
    assert (await whole.api.post(f"/v1/runs/{run}/cancel")).json()["status"] == "canceled"
    await whole.stack.start("content")
    await check_queues(whole.redis)
    await check_run(whole.db, roadmap_id, "run.canceled")
    assert whole.model.calls == []


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


async def test_canceling_after_the_end_changes_nothing(whole: Whole) -> None:
    await whole.stack.start("content")
    roadmap_id = await whole.create()
    roadmap = await whole.finish(roadmap_id)
    answer = (await whole.api.post(f"/v1/runs/{roadmap['run']['id']}/cancel")).json()
    assert answer["status"] == "succeeded"
    await check_run(whole.db, roadmap_id)
