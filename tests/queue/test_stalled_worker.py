"""A worker whose loop no longer turns ends its process with 70, says where it hung, and hands its jobs back."""

import asyncio
import sys
import time
from pathlib import Path

import pytest
from redis_server import RedisServer
from stack import Child
from waiting import eventually
from working import Journal, named, working

from roadmap.queue.client import Queue
from roadmap.queue.model import Job

SCRIPT = Path(__file__).with_name("stuck_worker.py")


async def stuck(server: RedisServer, folder: Path, how: str) -> Child:
    """A worker process that has taken the job `j`, and will not look at its queue again."""
    output = folder / "stuck.log"
    with output.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), server.url, how, stdout=sink, stderr=sink
        )
    child = Child("stuck", process, output, {})

    async def begun() -> int:
        return int(await server.client.llen("marks"))

    await eventually(begun, "the job runs", within=60)
    return child


async def test_a_worker_that_looks_no_more_at_its_queue_ends_with_70_and_shows_where_it_hangs(
    server: RedisServer, queue: Queue, tmp_path: Path
) -> None:
    await queue.offer("content", [Job("work", "j")])
    child = await stuck(server, tmp_path, "yielding")
    assert await child.exits(within=30) == 70
    text = child.text()
    assert "worker_stalled" in text
    assert "in StuckWorker.heart_beat" in text
    assert "Task job j" in text
    assert "roadmap: stalled: the queue was not looked at for 1 seconds" in text
    assert "Traceback" not in text


async def test_the_job_of_a_stalled_worker_is_handed_back_at_once(
    server: RedisServer, queue: Queue, tmp_path: Path
) -> None:
    await queue.offer("content", [Job("work", "j")])
    child = await stuck(server, tmp_path, "yielding")
    await child.exits(within=30)
    journal = Journal()

    async def again(_ctx: object) -> None:
        journal.ended.append("j")

    began = time.monotonic()
    async with working(server.url, [named(again, "work")]):
        await eventually(lambda: journal.ended, "another worker does it")
    assert time.monotonic() - began < 20  # its lease was of a minute


@pytest.mark.slow
async def test_a_worker_that_cannot_be_cancelled_either_ends_with_70_after_a_while(
    server: RedisServer, queue: Queue, tmp_path: Path
) -> None:
    await queue.offer("content", [Job("work", "j")])
    child = await stuck(server, tmp_path, "stubborn")
    assert await child.exits(within=60) == 70
    assert "in StuckWorker.heart_beat" in child.text()
