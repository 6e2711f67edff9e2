"""What the queue tells of its jobs: what was added, how long each waited and ran, how it ended."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from arq.worker import Retry, func
from redis.asyncio import Redis
from redis_server import RedisServer
from waiting import eventually
from working import Journal, working

from roadmap.queue.client import open_queue
from roadmap.queue.model import Job
from roadmap.queue.observer import Outcome, _waited


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.added: list[tuple[str, int]] = []
        self.ended: list[tuple[str, Outcome, float | None, float | None]] = []

    def offered(self, function: str, jobs: int = 1) -> None:
        self.added.append((function, jobs))

    def finished(self, function: str, outcome: Outcome, wait: float | None, run: float | None) -> None:
        self.ended.append((function, outcome, wait, run))

    async def outcomes(self, count: int) -> list[tuple[str, Outcome]]:
        await eventually(lambda: len(self.ended) >= count, f"{count} jobs ended")
        return sorted((function, outcome) for function, outcome, *_ in self.ended)


async def test_only_what_was_not_there_before_counts_as_offered(server: RedisServer) -> None:
    heard = Heard()
    async with open_queue(server.url, timeout=2, observer=heard) as queue:
        first = [Job("draft", "d1"), *(Job("write", f"w{number}") for number in range(600))]
        assert await queue.offer("content", first)
        assert await queue.offer("content", [*first, Job("write", "w600")])
    counted = {name: sum(jobs for function, jobs in heard.added if function == name) for name in ("draft", "write")}
    assert counted == {"draft": 1, "write": 601}
    assert ("write", 1) in heard.added


async def test_nothing_counts_as_offered_while_redis_is_away() -> None:
    heard = Heard()
    async with open_queue("redis://127.0.0.1:1", observer=heard) as queue:
        assert not await queue.offer("content", [Job("draft", "d1")])
    assert heard.added == []


async def test_each_end_of_a_job_is_told_as_what_it_is(server: RedisServer) -> None:
    heard, tries = Heard(), []

    async def fine(ctx: dict[str, Any]) -> None: ...

    async def gave_up(ctx: dict[str, Any]) -> Outcome:
        return Outcome.FAILED

    async def let_go(ctx: dict[str, Any]) -> Outcome:
        return Outcome.RETURNED

    async def buggy(ctx: dict[str, Any]) -> None:
        raise RuntimeError("a bug")

    async def again(ctx: dict[str, Any]) -> None:
        tries.append(ctx["job_try"])
        if len(tries) == 1:
            raise Retry(defer=0.05)

    async def endless(ctx: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    functions = [func(f, name=f.__name__) for f in (fine, gave_up, let_go, buggy, again)]
    functions.append(func(endless, name="endless", timeout=1.2))
    names = [function.name for function in functions]
    async with open_queue(server.url, timeout=2) as queue:
        await queue.offer("content", [*(Job(name, name) for name in names), Job("fine", "misfit", ("surplus",))])
    async with working(server.url, functions, observer=heard):
        assert await heard.outcomes(8) == [
            ("again", Outcome.RETURNED),
            ("again", Outcome.SUCCEEDED),
            ("buggy", Outcome.FAILED),
            ("endless", Outcome.FAILED),
            ("fine", Outcome.FAILED),
            ("fine", Outcome.SUCCEEDED),
            ("gave_up", Outcome.FAILED),
            ("let_go", Outcome.RETURNED),
        ]


async def test_what_cannot_be_executed_has_failed_without_times_and_under_a_known_name(server: RedisServer) -> None:
    heard = Heard()
    async with open_queue(server.url, timeout=2) as queue, Redis.from_url(server.url) as redis:
        await queue.offer("content", [Job("invented_by_whoever_writes_to_redis", "x"), Job("write", "y")])
        await redis.set("arq:job:y", b"not json")
        async with working(server.url, Journal().functions(), observer=heard):
            await heard.outcomes(2)
    assert heard.ended == [("unknown", Outcome.FAILED, None, None)] * 2


async def test_a_job_that_is_handed_back_at_the_end_has_returned(server: RedisServer) -> None:
    heard, journal = Heard(), Journal()
    async with open_queue(server.url, timeout=2) as queue:
        await queue.offer("content", [Job("hold", "h", ("h",))])
    async with working(server.url, journal.functions(), observer=heard, grace=0):
        await eventually(lambda: journal.ran, "the job runs")
    assert await heard.outcomes(1) == [("hold", Outcome.RETURNED)]


async def test_a_job_has_waited_since_it_was_enqueued_whatever_its_place_in_line(server: RedisServer) -> None:
    heard = Heard()
    async with open_queue(server.url, timeout=2) as queue:
        await queue.offer("content", [Job("write", "w", ("w",), behind=30)])
    await asyncio.sleep(0.3)  # what is measured
    async with working(server.url, Journal().functions(), observer=heard):
        await heard.outcomes(1)
    _, _, wait, run = heard.ended[0]
    assert wait is not None
    assert 0.3 <= wait < 60  # and not the hour of the head start
    assert run is not None
    assert 0 <= run < 60


@pytest.mark.parametrize(
    ("enqueued", "score", "waited"),
    [(10, 3_600 + 10, 10), (10, 10, 10), (10, 2, 2), (600, 2, 2), (-5, -5, 0)],
    ids=["in line", "stock arq", "deferred", "tried again later", "a clock that is ahead"],
)
def test_the_time_that_was_asked_for_is_no_wait(enqueued: float, score: float, waited: float) -> None:
    now = time.time()
    ctx = {"enqueue_time": datetime.fromtimestamp(now - enqueued, UTC), "score": int((now - score) * 1000)}
    assert _waited(ctx) == pytest.approx(waited, abs=1)
