"""The worker at its daily work: woken, fair, once, and within its slots."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from arq.cron import cron
from arq.worker import Retry
from redis_server import RedisServer
from waiting import eventually
from working import Journal, named, working

from roadmap.errors import Outage
from roadmap.queue.client import Queue
from roadmap.queue.model import MOST_RAW, Job, Unexecuted, dump_job
from roadmap.queue.pool import arq_pool
from roadmap.queue.worker import Worker


@pytest.fixture
def journal() -> Journal:
    return Journal()


def jobs(count: int, *, prefix: str = "w", function: str = "write") -> list[Job]:
    return [Job(function, f"{prefix}{number}", (f"{prefix}{number}",)) for number in range(count)]


async def resting(server: RedisServer, workers: int = 1) -> None:
    async def blocked() -> bool:
        return int((await server.client.info("clients"))["blocked_clients"]) == workers

    await eventually(blocked, "every worker waits to be woken")


async def drained(queue: Queue) -> None:
    async def empty() -> bool:
        return await queue.depth("content") == 0

    await eventually(empty, "nothing is left in the queue")


async def test_an_idle_worker_is_woken_by_an_offer(server: RedisServer, queue: Queue, journal: Journal) -> None:
    async with working(server.url, journal.functions()):
        for number in range(3):
            await resting(server)
            start = time.monotonic()
            await queue.offer("content", jobs(1, prefix=f"round{number}-"))
            await eventually(lambda n=number: len(journal.ran) > n, "the job runs")  # type: ignore[misc]
            assert time.monotonic() - start < 1
            await drained(queue)
    assert await server.left_behind() == []


async def test_an_idle_worker_leaves_redis_alone(server: RedisServer, journal: Journal) -> None:
    async with working(server.url, journal.functions()):
        await resting(server)
        before = await server.calls()
        await asyncio.sleep(1)  # the time that is measured
        after = await server.calls()
    new = Counter(after) - Counter(before)
    assert new.total() - new["info"] == 0


async def test_a_learner_with_one_job_does_not_wait_for_a_learner_with_two_hundred(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    busy = [Job("write", f"busy{behind}", (f"busy{behind}",), behind=behind) for behind in range(200)]
    await queue.offer("content", busy)
    await queue.offer("content", [Job("write", "light", ("light",), behind=0)])
    async with working(server.url, journal.functions(), max_jobs=2):
        await eventually(lambda: len(journal.ran) == 201, "all jobs ran")
    assert journal.ran.index("light") < 5


@pytest.mark.fault("F23")
async def test_a_job_offered_again_while_queued_or_running_runs_once(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    job = jobs(1, function="hold")
    await queue.offer("content", job)
    await queue.offer("content", job)
    async with working(server.url, journal.functions()):
        await eventually(lambda: journal.ran, "it runs")
        await queue.offer("content", job)
        journal.gate.set()
        await eventually(lambda: journal.ended, "it ends")
        await drained(queue)
        await queue.offer("content", job)
        await eventually(lambda: len(journal.ran) == 2, "its id is free again")


async def test_a_full_worker_takes_the_next_job_the_moment_a_slot_is_free(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    async with working(server.url, journal.functions(), max_jobs=2) as worker:
        await queue.offer("content", jobs(5, function="hold"))
        await eventually(lambda: len(journal.ran) == 2, "it is full")
        assert len(worker.tasks) == 2
        journal.gate.set()
        await eventually(lambda: len(journal.ended) == 5, "the others follow", within=5)


class Narrow:
    """Has room for so many jobs in all."""

    def __init__(self, places: int) -> None:
        self.places = places

    def room(self) -> int:
        return self.places

    def took(self, jobs: int) -> None:
        self.places -= jobs


async def test_a_throttle_leaves_jobs_on_the_queue_until_it_has_room(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    async with working(server.url, journal.functions(), wait=False) as worker:
        worker.throttle = narrow = Narrow(3)
        await queue.offer("content", jobs(10, function="hold"))
        await eventually(lambda: len(journal.ran) == 3, "three jobs run")
        assert narrow.places == 0
        narrow.places = 2
        await eventually(lambda: len(journal.ran) == 5, "two more run")
        assert len(worker.tasks) == 5
        journal.gate.set()
        narrow.places = 100
        await drained(queue)
    assert len(journal.ended) == 10


async def test_what_one_worker_cannot_take_wakes_another(server: RedisServer, queue: Queue, journal: Journal) -> None:
    await queue.offer("content", jobs(2, prefix="first", function="hold"))
    async with working(server.url, journal.functions(), max_jobs=2):
        await eventually(lambda: len(journal.ran) == 2, "the first worker is full")
        async with working(server.url, journal.functions(), max_jobs=30):
            await queue.offer("content", jobs(30, function="hold"))
            await eventually(lambda: len(journal.ran) == 32, "the second takes the rest", within=5)
            journal.gate.set()
            await eventually(lambda: len(journal.ended) == 32, "all end", within=5)


@pytest.mark.fault("F23")
async def test_two_workers_share_many_jobs_and_run_each_once(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    async with working(server.url, journal.functions(), max_jobs=20), working(server.url, journal.functions()):
        await queue.offer("content", jobs(1000))
        await drained(queue)
    assert set(Counter(journal.ran).values()) == {1}
    assert set(await server.client.keys("*")) <= {b"arq:wake:content"}


async def test_a_fleets_running_jobs_do_not_hide_what_waits_behind_them(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    await queue.offer("content", jobs(150, prefix="held", function="hold"))
    async with working(server.url, journal.functions(), max_jobs=150):
        await eventually(lambda: len(journal.ran) == 150, "the first worker is full")
        await queue.offer("content", jobs(1))
        async with working(server.url, journal.functions(), max_jobs=1):
            await eventually(lambda: "w0" in journal.ended, "the second finds the last one", within=5)
        journal.gate.set()


async def test_a_delayed_job_runs_when_it_is_due(server: RedisServer, queue: Queue, journal: Journal) -> None:
    async with working(server.url, journal.functions()):
        await resting(server)
        start = time.monotonic()
        await queue.offer("content", [Job("write", "later", ("later",), delay=0.4)])
        await eventually(lambda: journal.ran, "it runs", within=5)
        assert time.monotonic() - start >= 0.39


async def test_a_job_that_asks_for_a_retry_runs_again_after_its_delay(server: RedisServer, queue: Queue) -> None:
    starts: list[float] = []

    async def fragile(_: dict[str, Any]) -> None:
        starts.append(time.monotonic())
        if len(starts) < 3:
            raise Retry(0.2)

    async with working(server.url, [named(fragile, "fragile")]):
        await resting(server)
        await queue.offer("content", [Job("fragile", "f1")])
        await eventually(lambda: len(starts) == 3, "the third try", within=5)
    assert starts[1] - starts[0] >= 0.19


async def test_a_long_job_keeps_its_lease(server: RedisServer, queue: Queue, journal: Journal) -> None:
    async with (
        working(server.url, journal.functions(), lease=0.6),
        working(server.url, journal.functions(), lease=0.6),
    ):
        await queue.offer("content", jobs(3, function="hold"))
        await eventually(lambda: len(journal.ran) == 3, "they run")
        await asyncio.sleep(1.3)  # more than two leases
        journal.gate.set()
        await eventually(lambda: len(journal.ended) == 3, "they end")
    assert len(journal.ran) == 3


@pytest.mark.fault("F22")
async def test_what_cannot_be_executed_is_reported_and_removed(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    async def plant(job_id: str, payload: bytes) -> None:
        await server.client.set(f"arq:job:{job_id}", payload)
        await server.client.zadd("content", {job_id: 1})

    await plant("pickle", b"\x80\x04\x8c\x08builtins\x8c\x05print\x93\x8c\x05gotchaq\x85R.")
    await plant("garbage", b"\xff\x00{")
    await plant("text", dump_job({"f": "write", "a": "x", "k": {}, "t": None, "et": 1}))
    await server.client.zadd("content", {"expired": 1})
    await queue.offer("content", [Job("unheard_of", "stranger"), Job("write", "old", ("a", "b", "c")), *jobs(1)])
    async with working(server.url, journal.functions(), on_dead=journal.on_dead):
        await eventually(lambda: len(journal.dead) == 6, "all are reported")
        await drained(queue)
    assert sorted([(dead.job_id, dead.function, dead.reason) for dead in journal.dead], key=str) == sorted(
        [
            ("pickle", None, "undecodable"),
            ("garbage", None, "undecodable"),
            ("text", None, "undecodable"),
            ("expired", None, "expired"),
            ("stranger", "unheard_of", "unknown_function"),
            ("old", "write", "arguments"),
        ],
        key=str,
    )
    told = {dead.job_id: dead for dead in journal.dead}
    assert told["old"].arguments() == (["a", "b", "c"], {})
    assert told["stranger"].arguments() == ([], {})
    assert told["garbage"].raw == b"\xff\x00{"
    assert told["text"].arguments() is told["expired"].arguments() is told["pickle"].arguments() is None
    assert journal.ran == ["w0"]
    assert await server.left_behind() == []


async def test_of_a_large_payload_that_cannot_be_executed_the_beginning_is_kept(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    await queue.offer("content", [Job("unheard_of", "large", ("x" * 200_000,))])
    async with working(server.url, journal.functions(), on_dead=journal.on_dead):
        await eventually(lambda: journal.dead, "it is reported")
    assert len(journal.dead[0].raw) == MOST_RAW
    assert journal.dead[0].arguments() is None


@pytest.mark.parametrize("name", ["arq:job:wrong", b"arq:job:\xff\xfe"], ids=["a key of another type", "no text"])
async def test_garbage_in_place_of_a_job_or_its_id_is_reported_removed_and_in_nobodys_way(
    server: RedisServer, queue: Queue, journal: Journal, name: str | bytes
) -> None:
    await server.client.rpush(name, "no payload")
    await server.client.zadd("content", {name[len("arq:job:") :]: 1})
    async with working(server.url, journal.functions(), on_dead=journal.on_dead):
        await queue.offer("content", jobs(1))
        await eventually(lambda: journal.ran == ["w0"] and journal.dead, "others are served")
        await drained(queue)
    assert [(dead.function, dead.reason) for dead in journal.dead] == [(None, "undecodable")]
    assert await server.left_behind() == []


async def test_a_bug_that_leaves_a_function_is_reported_with_its_arguments_and_its_error(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    async def burst(_: dict[str, Any], name: str) -> None:
        raise LookupError(name)

    await queue.offer("content", [Job("burst", "b1", ("pop",))])
    async with working(server.url, [named(burst, "burst")], on_dead=journal.on_dead):
        await eventually(lambda: journal.dead, "it is reported")
        await drained(queue)
    dead = journal.dead[0]
    assert (dead.job_id, dead.function, dead.reason, dead.arguments()) == ("b1", "burst", "internal", (["pop"], {}))
    assert isinstance(dead.error, LookupError)
    assert dead.error.__traceback__ is not None


async def test_a_job_that_vanished_after_its_claim_is_not_reported_dead(server: RedisServer, journal: Journal) -> None:
    async with working(server.url, journal.functions(), on_dead=journal.on_dead) as worker:
        await worker.run_job("vanished", 1)
        assert journal.dead == []
        assert await server.left_behind() == []


@pytest.mark.fault("F22")
async def test_a_dead_job_that_nobody_could_record_comes_again(server: RedisServer, queue: Queue) -> None:
    told: list[str] = []

    async def on_dead(dead: Unexecuted) -> None:
        told.append(dead.job_id)
        if told.count(dead.job_id) == 1:
            raise Outage("the database does not answer")
        raise RuntimeError("a bug there must not keep it either")

    await queue.offer("content", [Job("unheard_of", "stranger"), Job("write", "misfit", ("a", "b", "c"))])
    async with working(server.url, Journal().functions(), on_dead=on_dead, lease=0.3):
        await eventually(lambda: len(told) == 4, "each is reported twice", within=5)
        await drained(queue)


async def test_failing_jobs_and_hooks_do_not_end_the_worker(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    async def burst(ctx: dict[str, Any], *_: Any) -> None:
        raise RuntimeError("pop")

    hooks: dict[str, Any] = {"on_job_start": burst, "on_job_end": burst, "after_job_end": burst, "on_shutdown": burst}
    async with working(server.url, [*journal.functions(), named(burst, "burst")], **hooks):
        await queue.offer("content", [Job("burst", "b1")])
        await queue.offer("content", jobs(2))
        await eventually(lambda: len(journal.ended) == 2, "the others ran")
        await drained(queue)


async def test_a_cron_job_runs_although_nothing_is_polled(server: RedisServer) -> None:
    ticks: list[datetime] = []

    async def tick(_: dict[str, Any]) -> None:
        ticks.append(datetime.now(tz=UTC))

    every_second = cron(tick, second=set(range(60)))  # type: ignore[arg-type]
    async with working(server.url, Journal().functions(), cron_jobs=[every_second]):
        await eventually(lambda: len(ticks) >= 2, "two ticks", within=6)


async def test_a_cancelled_job_is_run_again(server: RedisServer, queue: Queue, journal: Journal) -> None:
    async with working(server.url, journal.functions()) as worker:
        await queue.offer("content", jobs(1, function="hold"))
        await eventually(lambda: journal.ran, "it runs")
        worker.job_tasks["w0"].cancel()
        await eventually(lambda: len(journal.ran) == 2, "it runs again")
        journal.gate.set()
        await eventually(lambda: journal.ended, "it ends", within=5)


async def test_a_stopping_worker_lets_jobs_finish_and_takes_no_more(
    server: RedisServer, queue: Queue, journal: Journal
) -> None:
    async with working(server.url, journal.functions(), max_jobs=1) as worker:
        await queue.offer("content", jobs(2, function="hold"))
        await eventually(lambda: journal.ran, "one runs")
        worker.stop()
        journal.gate.set()
    assert len(journal.ended) == 1
    assert await queue.depth("content") == 1


async def test_a_worker_whose_leases_are_not_renewed_any_more_ends(server: RedisServer, queue: Queue) -> None:
    journal = Journal()

    class Careless(Worker):
        async def _renew_leases(self) -> None:
            await eventually(lambda: journal.ran, "a job runs")
            raise RuntimeError("a bug")

    worker = Careless(journal.functions(), redis_pool=arq_pool(server.url, "content"), handle_signals=False)
    await queue.offer("content", jobs(1, function="hold"))
    with pytest.raises(ExceptionGroup):
        await worker.async_run()
    await worker.close()
    assert not worker.tasks
    assert await server.client.keys("arq:in-progress:*") == []


async def test_a_job_timeout_must_be_finite(server: RedisServer) -> None:
    pool = arq_pool(server.url, "content")
    with pytest.raises(ValueError, match="finite"):
        Worker(Journal().functions(), redis_pool=pool, handle_signals=False, job_timeout=None)
    await pool.aclose()
