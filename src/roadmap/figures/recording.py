"""The figures of one process: counted in memory, written to PostgreSQL every few seconds."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from roadmap.database import Database
from roadmap.errors import Outage
from roadmap.figures import store
from roadmap.figures.buckets import BOUNDS, bucket
from roadmap.figures.model import Outcome
from roadmap.metrics import JobMetrics

__all__ = ["Figures", "open_figures"]

log = structlog.get_logger()

EVERY = 5.0
_LAST_SECONDS = 2.0
_MINUTE = 60


@asynccontextmanager
async def open_figures(db: Database, process: str, jobs: JobMetrics) -> AsyncIterator["Figures"]:
    """This process's figures, written every five seconds and once more at the end. `process`: a name that
    nobody else counts by, nor this process before. What happens is told to `jobs` as well. Raises Outage."""
    figures = Figures(process, jobs, await store.read_clock(db))
    task = asyncio.create_task(_flush_forever(figures, db), name="figures-flush")
    try:
        yield figures
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await _flush_last(figures, db)


async def _flush_forever(figures: "Figures", db: Database) -> None:
    while True:
        await asyncio.sleep(EVERY)
        try:
            await figures.flush(db)
        except Outage as exc:
            log.debug("figures_wait", error=str(exc))
        except Exception:  # to count the work must not end it
            log.exception("figures_flush_failed")


async def _flush_last(figures: "Figures", db: Database) -> None:
    try:
        async with asyncio.timeout(_LAST_SECONDS):
            await figures.flush(db)
    except (Outage, TimeoutError) as exc:
        log.warning("figures_lost", error=type(exc).__name__)


def _no_counts() -> list[int]:
    return [0] * (len(BOUNDS) + 1)


@dataclass(slots=True)
class _Minute:
    """One function in one minute that began `at` (Unix time). `changes` counts what was noted, `written` what of it
    PostgreSQL knows."""

    at: int
    function: str
    changes: int = 0
    written: int = 0
    offered: int = 0
    ended: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    wait: float = 0.0
    duration: float = 0.0
    waits: list[int] = field(default_factory=_no_counts)
    durations: list[int] = field(default_factory=_no_counts)

    def dump(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "function": self.function,
            "offered": self.offered,
            **{outcome.value: count for outcome, count in self.ended.items()},
            "wait_ms": round(self.wait * 1000),
            "duration_ms": round(self.duration * 1000),
            "waits": _trim(self.waits),
            "durations": _trim(self.durations),
        }


class Figures:
    """Hears of jobs (it is the queue's Observer): in microseconds, without waiting or raising. It keeps ten minutes at
    most, however long PostgreSQL is away. Minutes are by the database's clock, which `now` tells."""

    def __init__(self, process: str, jobs: JobMetrics, now: datetime) -> None:
        self._process = process
        self._jobs = jobs
        self._minutes: dict[tuple[int, str], _Minute] = {}
        self._ahead = 0.0
        self._set_clock(now)

    def offered(self, function: str, jobs: int = 1) -> None:
        minute = self._minute(function)
        minute.offered += jobs
        minute.changes += 1
        self._jobs.offered(function, jobs)

    def finished(self, function: str, outcome: Outcome, wait: float | None, run: float | None) -> None:
        """Seconds; None: it never began, and so has no place among the times."""
        minute = self._minute(function)
        minute.ended[outcome] += 1
        minute.changes += 1
        if wait is not None:
            minute.wait += wait
            minute.waits[bucket(wait)] += 1
        if run is not None:
            minute.duration += run
            minute.durations[bucket(run)] += 1
        self._jobs.finished(function, outcome.value, wait, run)

    async def flush(self, db: Database) -> None:
        """Writes what has changed since the last time. Raises Outage; what was written may be written again."""
        changed = [minute for minute in self._minutes.values() if minute.changes != minute.written]
        if not changed:
            return
        written = [(minute, minute.changes) for minute in changed]
        count, clock = await store.write_minutes(db, self._process, [minute.dump() for minute in changed])
        for minute, changes in written:
            minute.written = changes
        if count < len(changed):
            log.warning("figures_too_late", minutes=len(changed) - count)
        self._set_clock(clock)

    def _minute(self, function: str) -> _Minute:
        at = int((time.time() + self._ahead) // _MINUTE) * _MINUTE
        minute = self._minutes.get((at, function))
        if minute is None:
            minute = self._minutes[at, function] = _Minute(at, function)
            self._forget(at - store.OPEN_MINUTES * _MINUTE)
        return minute

    def _forget(self, before: int) -> None:
        """What nobody takes any more."""
        for at, function in [key for key in self._minutes if key[0] < before]:
            del self._minutes[at, function]

    def _set_clock(self, now: datetime) -> None:
        self._ahead = now.timestamp() - time.time()


def _trim(counts: list[int]) -> list[int]:
    """Without the zeros at the end: most minutes know short times only."""
    last = max((place for place, count in enumerate(counts) if count), default=-1)
    return counts[: last + 1]
