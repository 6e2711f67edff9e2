"""The service at one glance."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from roadmap.database import Database
from roadmap.figures.model import Point, Step, together
from roadmap.figures.store import read_series
from roadmap.heartbeat import Process
from roadmap.ids import first_id
from roadmap.monitor.levels import judge_model, severity, worst
from roadmap.monitor.looks import Looks
from roadmap.monitor.model.processes import WorkerState, WorkerView
from roadmap.monitor.model.queues import Health, Overview, OverviewPoint, ProcessCount, QueueView, RunCount
from roadmap.monitor.model.runs import RunFilters
from roadmap.monitor.service.failures import list_failures
from roadmap.monitor.service.queues import FUNCTIONS, read_minutes, read_queues, read_workers
from roadmap.monitor.store import queues as store
from roadmap.monitor.store.runs import list_runs
from roadmap.monitor.store.usage import count_latest
from roadmap.queue.client import Queue
from roadmap.runs.model import ACTIVE, RunStatus

__all__ = ["read_overview"]

MOST_GROUPS = 5
MOST_RUNS = 10
LATEST = 20


async def read_overview(db: Database, queue: Queue, looks: Looks) -> Overview:
    return await looks.recent("overview", 1.0, partial(_read_overview, db, queue, looks))


async def _read_overview(db: Database, queue: Queue, looks: Looks) -> Overview:
    queues = (await read_queues(db, queue, looks)).data
    workers = (await read_workers(db, looks)).data
    failures = await list_failures(db, looks)
    totals = await looks.recent("totals", 10.0, partial(store.find_totals, db))
    since = first_id(datetime.now(UTC) - timedelta(days=2))
    ended = await looks.recent("ended", 10.0, partial(store.count_ended, db, since))
    minutes = await read_minutes(db, looks)
    day = await looks.recent("day", 30.0, partial(read_series, db, timedelta(hours=23), Step.HOUR))
    found = _judge(queues, await looks.recent("latest", 5.0, partial(count_latest, db, LATEST)), failures.dead_jobs)
    return Overview(
        at=minutes.now,
        level=worst(level for level, _ in found),
        reasons=tuple(reason for _, reason in found),
        queues=queues,
        processes=tuple(_count(process, workers) for process in Process),
        open_runs=_show_counts(await store.count_runs(db), [status for status in RunStatus if status in ACTIVE]),
        ended_runs=_show_counts(ended, [status for status in RunStatus if status not in ACTIVE]),
        dead_jobs=failures.dead_jobs,
        failures=failures.data[:MOST_GROUPS],
        recent_runs=tuple(await list_runs(db, RunFilters(), (None, None), MOST_RUNS)),
        minutes=_points(minutes.series, minutes.now, timedelta(minutes=1), 60),
        hours=_points(day, minutes.now, timedelta(hours=1), 24),
        cost_today_micros=totals.cost_micros,
        calls_today=totals.calls,
        tokens_today=totals.tokens,
    )


def _judge(queues: Iterable[QueueView], calls: tuple[int, int], dead_jobs: int) -> list[tuple[Health, str]]:
    """Why all is not well, the worst first."""
    found = [(queue.level, f"{queue.name}: {reason}") for queue in queues for reason in queue.reasons]
    if about_model := judge_model(*calls):
        found.append(about_model)
    if dead_jobs:
        found.append((Health.AMBER, "dead jobs wait for an operator"))
    return sorted(found, key=severity)


def _count(process: Process, workers: Iterable[WorkerView]) -> ProcessCount:
    states = [worker.state for worker in workers if worker.process is process]
    return ProcessCount(process, *(states.count(state) for state in WorkerState))


def _show_counts(counts: Mapping[str, int], statuses: Iterable[RunStatus]) -> tuple[RunCount, ...]:
    return tuple(RunCount(status, counts.get(status, 0)) for status in statuses)


def _points(
    series: Mapping[str, Sequence[Point]], now: datetime, step: timedelta, count: int
) -> tuple[OverviewPoint, ...]:
    """One for each of the last steps, also where nothing happened. The log's own jobs say nothing to people."""
    found: dict[datetime, list[Point]] = {}
    for function, points in series.items():
        if FUNCTIONS.get(function) != Process.LOGS:
            for point in points:
                found.setdefault(point.at, []).append(point)
    seconds = step.total_seconds()
    last = datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)
    times = [last - step * back for back in range(count - 1, -1, -1)]
    return tuple(_sum(at, found.get(at, [])) for at in times)


def _sum(at: datetime, points: Sequence[Point]) -> OverviewPoint:
    tally = together(point.tally for point in points)
    return OverviewPoint(at, tally.offered, tally.succeeded, tally.failed)
