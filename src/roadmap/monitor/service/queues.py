"""The queues, their workers and what jobs take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import orjson

from roadmap.database import Database
from roadmap.figures.model import Point, Step, Tally, together
from roadmap.figures.store import read_clock, read_series
from roadmap.heartbeat import Process
from roadmap.monitor.levels import OBJECTIVES, Situation, judge
from roadmap.monitor.looks import Looks
from roadmap.monitor.model.functions import FunctionList, FunctionPoint, FunctionView, SpanFigures
from roadmap.monitor.model.processes import JobView, WorkerList, WorkerRow, WorkerState, WorkerView
from roadmap.monitor.model.queues import JobsInLine, QueuedJob, QueueList, QueueView
from roadmap.monitor.store import processes
from roadmap.monitor.store import queues as store
from roadmap.monitor.store.queues import OpenWork, Pause
from roadmap.queue.client import Queue
from roadmap.queue.line import InLine, Line
from roadmap.runs.dispatch import ARGUMENTS

__all__ = [
    "FUNCTIONS",
    "QUEUES",
    "Minutes",
    "read_functions",
    "read_jobs",
    "read_minutes",
    "read_queues",
    "read_workers",
]

QUEUES = (Process.CONTENT, Process.LOGS)
# Which queue a function's jobs are on.
FUNCTIONS = {function: queue for queue, function in ARGUMENTS}
MOST_WORKERS = 500
MOST_JOBS = 1_000
JOBS_OF_ONE = 100
MOST_IN_LINE = 100
MINUTE = timedelta(minutes=1)
Series = Mapping[str, Sequence[Point]]


@dataclass(frozen=True, slots=True)
class Minutes:
    """What happened lately, by function. `now` is the database's."""

    now: datetime
    series: Series


async def read_queues(db: Database, queue: Queue, looks: Looks) -> QueueList:
    """As they stand, also without a worker and without Redis."""
    return await looks.recent("queues", 1.0, partial(_read_queues, db, queue, looks))


async def _read_queues(db: Database, queue: Queue, looks: Looks) -> QueueList:
    workers = (await read_workers(db, looks)).data
    pauses = await store.list_pauses(db)
    work = await looks.recent("open_work", 2.0, partial(store.find_open_work, db))
    minutes = await read_minutes(db, looks)
    views = []
    for process in QUEUES:
        serving = [worker.state for worker in workers if worker.process is process]
        known = _Known(await queue.line(process), work if process is Process.CONTENT else None, pauses.get(process))
        views.append(_view(process, known, serving, minutes))
    return QueueList(tuple(views))


@dataclass(frozen=True, slots=True)
class _Known:
    """What each of them says of one queue; None: Redis is away, the rows know nothing of it, it is not paused."""

    line: Line | None
    work: OpenWork | None
    pause: Pause | None

    @property
    def oldest(self) -> float | None:
        """Redis may have lost its jobs, and the rows know nothing of the log's: the longer wait counts."""
        ages = [self.line.oldest if self.line else None, self.work.oldest if self.work else None]
        return max((age for age in ages if age is not None), default=None)


def _view(process: Process, known: _Known, serving: Sequence[WorkerState], minutes: Minutes) -> QueueView:
    line, work, pause = known.line, known.work, known.pause
    awake, asleep = serving.count(WorkerState.ALIVE), serving.count(WorkerState.HIBERNATING)
    situation = Situation(known.oldest, awake, asleep, paused=pause is not None, known=line is not None)
    level, reasons = judge(situation, OBJECTIVES[process])
    rate_in, rate_out = _rates(process, minutes)
    return QueueView(
        name=process,
        level=level,
        reasons=reasons,
        depth=line.depth if line else None,
        running=line.running if line else None,
        oldest_waiting_seconds=line.oldest if line else None,
        open_work=work.open if work else None,
        oldest_open_seconds=work.oldest if work else None,
        oldest_seconds=known.oldest,
        in_flight=work.held if work else None,
        rate_in=rate_in,
        rate_out=rate_out,
        drain_seconds=_drain(line.depth, rate_in, rate_out) if line else None,
        paused_at=pause.paused_at if pause else None,
        paused_by=pause.paused_by if pause else None,
        workers=awake,
        hibernating=asleep,
    )


def _rates(process: Process, minutes: Minutes) -> tuple[float, float]:
    """Jobs a minute that came and went, in this minute and the one before."""
    began = minutes.now.replace(second=0, microsecond=0) - MINUTE
    tallies = [
        point.tally
        for function, points in minutes.series.items()
        for point in points
        if FUNCTIONS.get(function) == process and point.at >= began
    ]
    sums = together(tallies)
    # A content job that returns leaves the queue, and is offered again; one of the log's stays there until it ends.
    gone = sums.ended + sums.returned if process is Process.CONTENT else sums.ended
    span = (minutes.now - began) / MINUTE
    return sums.offered / span, gone / span


def _drain(depth: int, rate_in: float, rate_out: float) -> float | None:
    """Seconds until it is empty, if all goes on like this. None: it does not get shorter."""
    if depth == 0:
        return 0.0
    return depth / (rate_out - rate_in) * 60 if rate_out > rate_in else None


async def read_minutes(db: Database, looks: Looks) -> Minutes:
    """Of the last hour, at most five seconds old: as often as processes write them."""
    return await looks.recent("minutes", 5.0, partial(_read_minutes, db))


async def _read_minutes(db: Database) -> Minutes:
    series = await read_series(db, timedelta(hours=1), Step.MINUTE)
    return Minutes(await read_clock(db), series)


async def read_jobs(queue: Queue, looks: Looks, name: Process) -> JobsInLine:
    """The first in line, with what they carry."""
    return await looks.recent(f"jobs of {name}", 1.0, partial(_read_jobs, queue, name))


async def _read_jobs(queue: Queue, name: Process) -> JobsInLine:
    jobs = await queue.jobs(name, MOST_IN_LINE)
    shown = None if jobs is None else tuple(_show_job(job) for job in jobs)
    return JobsInLine(name, await queue.depth(name), shown)


def _show_job(job: InLine) -> QueuedJob:
    payload = job.beginning.decode(errors="backslashreplace") or None
    if job.arguments is not None:
        by_place, by_name = job.arguments
        payload = orjson.dumps({"args": by_place, **({"kwargs": by_name} if by_name else {})}).decode()
    return QueuedJob(job.id, job.function, payload, job.running, job.waited)


async def read_workers(db: Database, looks: Looks) -> WorkerList:
    """Every process by its last heartbeat, with what it holds."""
    return await looks.recent("workers", 1.0, partial(_read_workers, db))


async def _read_workers(db: Database) -> WorkerList:
    rows = await processes.list_workers(db, MOST_WORKERS)
    held: dict[str, list[JobView]] = {}
    for job in await processes.list_jobs(db, MOST_JOBS):
        held.setdefault(job.worker, []).append(job)
    return WorkerList(tuple(_show_worker(row, held.get(row.name, [])[:JOBS_OF_ONE]) for row in rows))


def _show_worker(row: WorkerRow, jobs: Sequence[JobView]) -> WorkerView:
    same = {name: getattr(row, name) for name in WorkerView.__slots__ if name in WorkerRow.__slots__}
    uptime = (row.now - row.started_at).total_seconds()
    silent = row.silent.total_seconds()
    return WorkerView(**same, state=row.state, silent_seconds=silent, uptime_seconds=uptime, jobs=tuple(jobs))


async def read_functions(db: Database, looks: Looks) -> FunctionList:
    """What jobs took. To read a week of minutes is work: what is of the days before is at most five minutes old."""
    minutes = await read_minutes(db, looks)
    day = await looks.recent("day", 30.0, partial(read_series, db, timedelta(hours=23), Step.HOUR))
    week = await _read_week(db, looks)
    names = sorted({*FUNCTIONS, *day, *minutes.series})
    return FunctionList(tuple(_show_function(name, minutes.series, day, week) for name in names))


async def _read_week(db: Database, looks: Looks) -> Series:
    """One function after the other: none of the statements is long."""
    week: dict[str, Sequence[Point]] = {}
    for function in FUNCTIONS:
        look = partial(read_series, db, timedelta(days=7), Step.HOUR, function)
        week |= await looks.recent(f"week of {function}", 300.0, look)
    return week


def _show_function(name: str, minutes: Series, day: Series, week: Series) -> FunctionView:
    hour, hours = minutes.get(name, ()), day.get(name, ())
    # The hours of the last day are newer than the week's.
    past = [point for point in week.get(name, ()) if not hours or point.at < hours[0].at]
    return FunctionView(
        function=name,
        queue=FUNCTIONS.get(name),
        hour=_sum(hour),
        day=_sum(hours),
        week=tuple(_show_point(point) for point in [*past, *hours]),
    )


def _sum(points: Sequence[Point]) -> SpanFigures:
    tally: Tally = together(point.tally for point in points)
    return SpanFigures(
        offered=tally.offered,
        succeeded=tally.succeeded,
        failed=tally.failed,
        returned=tally.returned,
        failure_rate=tally.failure_rate,
        wait_p50=tally.wait.p50,
        wait_p95=tally.wait.p95,
        wait_p99=tally.wait.p99,
        run_p50=tally.run.p50,
        run_p95=tally.run.p95,
        run_p99=tally.run.p99,
    )


def _show_point(point: Point) -> FunctionPoint:
    tally = point.tally
    return FunctionPoint(point.at, tally.offered, tally.succeeded, tally.failed, tally.wait.p95, tally.run.p95)
