"""F26: a content worker whose loop is blocked ends by itself, and all of its work is done nevertheless."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from waiting import eventually
from whole import Whole, check_queues, check_run, offline, open_whole

from roadmap.queue.client import Queue, open_queue
from roadmap.queue.model import Job

BLOCKING = (sys.executable, str(Path(__file__).with_name("blocking_worker.py")))


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url, WATCHDOG="3", CONTENT_CONCURRENCY="5") as opened:
        opened.model.default = offline(0.3)
        yield opened


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[Queue]:
    async with open_queue(redis_url, timeout=2) as opened:
        yield opened


@pytest.mark.fault("F26")
async def test_a_blocked_worker_ends_with_its_stacks_and_its_jobs_are_done_again(
    whole: Whole, queue: Queue, tmp_path: Path
) -> None:
    folder = tmp_path / "blocked"
    folder.mkdir()
    blocked = await whole.stack.launch("content", command=BLOCKING)
    await blocked.says("worker_ready")
    roadmap_id = await whole.create()
    await whole.ready(3)
    assert await queue.offer("content", [Job("block", "blocking", (str(folder),), behind=-1)])
    await eventually(lambda: any(folder.iterdir()), "the loop is blocked")
    assert await whole.db.fetchval("SELECT count(*) FROM content WHERE claimed_by IS NOT NULL")
    again = await whole.stack.launch("content:second", command=BLOCKING)
    assert await blocked.exits(within=30) == 1
    assert "Timeout (0:00:03)!" in blocked.text()
    assert "in block" in blocked.text()
    await again.says("worker_ready")
    await whole.stack.start("logs")
    assert (await whole.finish(roadmap_id))["status"] == "succeeded"
    await check_run(whole.db, roadmap_id)
    await eventually(lambda: len(list(folder.iterdir())) == 2, "the job that blocked is retried")
    await check_queues(whole.redis)
    assert again.lines("job_dead") == []
