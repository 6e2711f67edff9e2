"""The worker in bad weather: Redis emptied, cut, restarted, frozen, mute; processes killed and told to stop."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer
from waiting import eventually
from working import Journal, working

from roadmap.queue.client import Queue
from roadmap.queue.intake import Intake
from roadmap.queue.model import Job
from roadmap.queue.pool import arq_pool
from roadmap.queue.worker import Worker


@pytest.fixture
def journal() -> Journal:
    return Journal()


async def offered(queue: Queue, *names: str, function: str = "write") -> None:
    """Offers until Redis takes it, as the sweeper does."""
    jobs = [Job(function, name, (name,)) for name in names]
    await eventually(lambda: queue.offer("content", jobs), "Redis takes the jobs")


# ---- Redis ----


@pytest.mark.fault("F9")
async def test_a_redis_emptied_under_running_jobs_costs_nothing_but_the_queue(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    async with working(server.url, journal.functions(), on_dead=journal.on_dead, lease=0.6):
        await offered(queue, "held", function="hold")
        await eventually(lambda: journal.ran, "it runs")
        await server.client.flushall()
        await asyncio.sleep(0.3)  # a renewal of the lease falls into this
        await offered(queue, "next")
        await eventually(lambda: "next" in journal.ended, "the next job runs", within=5)
        journal.gate.set()
        await eventually(lambda: "held" in journal.ended, "the first ends")
    assert journal.dead == []
    assert await server.left_behind() == []


@pytest.mark.fault("F11")
async def test_a_worker_whose_connections_are_cut_again_and_again_goes_on(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    async with working(server.url, journal.functions()):
        for number in range(5):
            await server.client.client_kill_filter(_type="normal", skipme=True)
            await offered(queue, f"w{number}")
            await eventually(lambda n=number: f"w{n}" in journal.ended, "the job runs", within=5)  # type: ignore[misc]


@pytest.mark.fault("F10")
async def test_a_restart_of_redis_ends_neither_worker_nor_job(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    async with working(server.url, journal.functions()) as worker:
        await offered(queue, "held", function="hold")
        await eventually(lambda: journal.ran, "it runs")
        await server.kill()
        await eventually(lambda: not worker.connected, "the worker has noticed")
        journal.gate.set()
        await eventually(lambda: journal.ended, "the job ends meanwhile")
        await server.start()
        await offered(queue, "next")
        await eventually(lambda: "next" in journal.ended, "the next job runs")
        await eventually(lambda: not worker.tasks, "every slot is free again")


@pytest.mark.fault("F10")
async def test_a_worker_waits_for_a_redis_that_starts_later(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    await server.kill()
    told: list[str] = []
    async with working(server.url, journal.functions(), wait=False, ready=lambda: told.append("ready")) as worker:
        start = worker.progress
        await eventually(lambda: worker.progress > start, "it tries")
        assert told == []
        await server.start()
        await offered(queue, "first")
        await eventually(lambda: journal.ended, "the job runs")
        assert told == ["ready"]


@pytest.mark.fault("F11")
async def test_a_frozen_redis_is_waited_for(server: RedisServer, queue: Queue, journal: Journal) -> None:
    async with working(server.url, journal.functions()):
        await offered(queue, *(f"w{number}" for number in range(50)))
        await server.client.client_pause(800)
        await eventually(lambda: len(journal.ended) == 50, "all jobs ran")
        await offered(queue, "after")
        await eventually(lambda: "after" in journal.ended, "and so does the next")


@pytest.mark.fault("F13")
async def test_a_full_redis_stops_the_worker_no_longer_than_it_is_full(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    async with working(server.url, journal.functions()) as worker:
        await offered(queue, "held", function="hold")
        await eventually(lambda: journal.ran, "it runs")
        await server.client.config_set("maxmemory", "1")
        journal.gate.set()
        await eventually(lambda: not worker.tasks, "it ends and is removed, which takes no memory")
        await server.client.config_set("maxmemory", "0")
        await offered(queue, "next")
        await eventually(lambda: "next" in journal.ended, "the next job runs")


@pytest.mark.fault("F12")
async def test_a_mute_redis_does_not_keep_a_worker_from_stopping(blackhole: str, journal: Journal) -> None:
    async with working(blackhole, journal.functions(), wait=False) as worker:
        await asyncio.sleep(0.1)  # it is in the middle of connecting
        start = time.monotonic()
        worker.stop()
    assert time.monotonic() - start < 5


async def test_a_resting_worker_hears_a_cancellation_in_any_moment(server: RedisServer) -> None:
    intake = Intake(arq_pool(server.url, "content"), "content", lease=15, read_limit=100)
    for ticks in range(40):
        resting = asyncio.create_task(intake.rest(30))
        for _ in range(ticks % 20):
            await asyncio.sleep(0)
        resting.cancel()
        await asyncio.wait({resting}, timeout=1)
        assert resting.cancelled(), f"lost after {ticks} ticks"
    await intake.close()


# ---- processes ----


class Process:
    """`worker_process.py`, and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def says(self, word: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            while (line := await self._process.stdout.readline()).decode().strip() != word:
                assert line, "the process ended"

    def send(self, signum: signal.Signals) -> None:
        self._process.send_signal(signum)

    async def ends(self) -> str:
        """Waits for exit status 0; returns what is on stderr."""
        async with asyncio.timeout(20):
            _, errors = await self._process.communicate()
        assert self._process.returncode == 0, errors.decode()
        return errors.decode()

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


@asynccontextmanager
async def process(url: str, lease: float = 15, grace: float = 10, start_seconds: float = 0) -> AsyncIterator[Process]:
    script = str(Path(__file__).with_name("worker_process.py"))
    numbers = [str(number) for number in (lease, grace, start_seconds)]
    started = Process(
        await asyncio.create_subprocess_exec(
            sys.executable, script, url, *numbers, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    )
    try:
        await started.says("started")
        yield started
    finally:
        await started.close()


async def marks(server: RedisServer) -> list[str]:
    return [mark.decode() for mark in await server.client.lrange("marks", 0, -1)]


async def marked(server: RedisServer, mark: str, within: float = 15) -> None:
    async def there() -> bool:
        return mark in await marks(server)

    await eventually(there, mark, within=within)


async def work(ctx: dict[str, Any], _: str) -> None:
    await ctx["redis"].rpush("marks", f"taken {ctx['job_id']}")


@pytest.mark.fault("F1")
async def test_the_jobs_of_a_killed_process_are_taken_over_within_its_lease(server: RedisServer, queue: Queue) -> None:
    async with process(server.url, lease=1) as killed:
        await killed.says("ready")
        await queue.offer("content", [Job("work", "w1", ("60",))])
        await marked(server, "start w1")
        async with working(server.url, [work], lease=1):
            killed.send(signal.SIGKILL)
            await marked(server, "taken w1", within=4)


@pytest.mark.fault("F5")
async def test_a_process_told_to_stop_finishes_its_job_and_exits_0(server: RedisServer, queue: Queue) -> None:
    async with process(server.url) as stopped:
        await stopped.says("ready")
        await queue.offer("content", [Job("work", "w1", ("0.5",))])
        await marked(server, "start w1")
        for signum in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            stopped.send(signum)
        assert "Traceback" not in await stopped.ends()
    assert await marks(server) == ["start w1", "end w1"]
    assert await queue.depth("content") == 0


@pytest.mark.fault("F5")
async def test_a_job_longer_than_the_grace_is_handed_back_at_once(server: RedisServer, queue: Queue) -> None:
    async with process(server.url, grace=5.3) as stopped:
        await stopped.says("ready")
        await queue.offer("content", [Job("work", "w1", ("60",))])
        await marked(server, "start w1")
        async with working(server.url, [work]):
            stopped.send(signal.SIGTERM)
            # Not at the end of the lease, nor of half a lease.
            await marked(server, "taken w1", within=5)
        assert "Traceback" not in await stopped.ends()
    assert await queue.depth("content") == 0


@pytest.mark.fault("F6")
async def test_an_idle_process_stops_at_once_on_sigint(server: RedisServer) -> None:
    async with process(server.url) as stopped:
        await stopped.says("ready")
        start = time.monotonic()
        stopped.send(signal.SIGINT)
        assert "Traceback" not in await stopped.ends()
        assert time.monotonic() - start < 3


@pytest.mark.fault("F6")
async def test_a_process_told_to_stop_while_it_starts_exits_0(server: RedisServer) -> None:
    async with process(server.url, start_seconds=60) as stopped:
        stopped.send(signal.SIGTERM)
        assert "Traceback" not in await stopped.ends()


async def test_a_start_up_that_fails_is_told_to_the_caller(server: RedisServer) -> None:
    async def start(_: dict[str, Any]) -> None:
        raise RuntimeError("no settings")

    pool = arq_pool(server.url, "content")
    worker = Worker([work], redis_pool=pool, handle_signals=False, on_startup=start)
    with pytest.raises(RuntimeError, match="no settings"):
        await worker.async_run()
    await worker.close()
