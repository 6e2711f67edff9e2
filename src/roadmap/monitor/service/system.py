"""What the model costs, and how PostgreSQL, the log's pipeline and Redis do."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from roadmap.database import Database
from roadmap.errors import Outage
from roadmap.figures.store import read_clock
from roadmap.heartbeat import ALIVE, Process
from roadmap.ids import first_id
from roadmap.monitor.looks import Looks
from roadmap.monitor.model.processes import WorkerState, WorkerView
from roadmap.monitor.model.system import (
    DatabaseView,
    DayUsage,
    GateView,
    HourCalls,
    LogPipeline,
    ModelUsage,
    ModelView,
    PoolView,
    RedisView,
    RoadmapCost,
    SystemView,
)
from roadmap.monitor.service.queues import read_workers
from roadmap.monitor.store import processes, usage
from roadmap.monitor.store import system as store
from roadmap.monitor.store.usage import HourUsage, Latency
from roadmap.queue.client import Queue

__all__ = ["DOLLARS_PER_COMMAND", "read_model", "read_system"]

K = TypeVar("K", bound=Hashable)

DEAREST = 20
LARGEST = 15
LOG_SPAN = timedelta(minutes=5)
MOST_LINES = 200_000
# Upstash, pay as you go: $0.20 per 100,000 commands (upstash.com/pricing/redis, November 2026).
DOLLARS_PER_COMMAND = 0.20 / 100_000
SECONDS_A_MONTH = 30 * 24 * 3600


async def read_model(db: Database, queue: Queue, looks: Looks) -> ModelView:
    """It reads a lot of the ledger, and so is looked at twice a minute at most; days that are over, and the dearest
    roadmaps, less often."""
    return await looks.recent("model", 30.0, partial(_read_model, db, queue, looks))


async def _read_model(db: Database, queue: Queue, looks: Looks) -> ModelView:
    now = await read_clock(db)
    hours = await _read_hours(db, looks, now)
    latencies = {(one.provider, one.model): one for one in await usage.list_latencies(db)}
    roadmaps = await looks.recent("dear", 300.0, partial(_list_dear_roadmaps, db))
    gates = await queue.gates()
    return ModelView(
        at=now,
        days=_days(hours),
        models=_models(hours, latencies),
        hours=_hours(hours, now),
        roadmaps=tuple(roadmaps),
        gates=None if gates is None else tuple(GateView(name, calls) for name, calls in sorted(gates.items())),
    )


async def _list_dear_roadmaps(db: Database) -> list[RoadmapCost]:
    """The only long statement: where a week of calls is too much for it, the rest of the page is there all the same."""
    try:
        return await usage.list_dear_roadmaps(db, DEAREST)
    except Outage:
        return []


async def _read_hours(db: Database, looks: Looks, now: datetime) -> list[HourUsage]:
    """Of seven days, one by one: none of the statements is long. The last calls of a day are settled minutes later."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    hours: list[HourUsage] = []
    for back in range(usage.DAYS - 1, -1, -1):
        day = today - timedelta(days=back)
        name, seconds = ("today", 15.0) if back == 0 else ("yesterday", 900.0) if back == 1 else ("before", 21_600.0)
        hours += await looks.recent(f"hours of {day.date()}, {name}", seconds, partial(usage.list_hours, db, day))
    return hours


def _days(hours: Sequence[HourUsage]) -> tuple[DayUsage, ...]:
    return tuple(
        DayUsage(*key, *_sums(of_it)) for key, of_it in _by(lambda one: (one.at.date(), one.provider, one.model), hours)
    )


def _models(hours: Sequence[HourUsage], latencies: Mapping[tuple[str, str], Latency]) -> tuple[ModelUsage, ...]:
    """The dearest first."""
    found = [
        ModelUsage(
            *key,
            *_sums(of_it),
            unusable=sum(one.unusable for one in of_it),
            outages=sum(one.outages for one in of_it),
            busy=sum(one.busy for one in of_it),
            latency_p50_ms=latencies[key].p50 if key in latencies else None,
            latency_p95_ms=latencies[key].p95 if key in latencies else None,
        )
        for key, of_it in _by(lambda one: (one.provider, one.model), hours)
    ]
    return tuple(sorted(found, key=lambda model: (-model.cost_micros, -model.calls)))


def _sums(hours: Sequence[HourUsage]) -> tuple[int, int, int, int]:
    """Calls, tokens in, tokens out, micro-dollars."""
    return (
        sum(one.calls for one in hours),
        sum(one.input_tokens for one in hours),
        sum(one.output_tokens for one in hours),
        sum(one.cost_micros for one in hours),
    )


def _hours(hours: Sequence[HourUsage], now: datetime) -> tuple[HourCalls, ...]:
    """The last twenty-four, also those without a call."""
    found = dict(_by(lambda one: one.at, hours))
    last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    times = [last - timedelta(hours=back) for back in range(23, -1, -1)]
    return tuple(_hour(at, found.get(at, [])) for at in times)


def _hour(at: datetime, models: Sequence[HourUsage]) -> HourCalls:
    return HourCalls(
        at=at,
        ok=sum(one.ok for one in models),
        unusable=sum(one.unusable for one in models),
        outages=sum(one.outages for one in models),
        busy=sum(one.busy for one in models),
    )


def _by(key: Callable[[HourUsage], K], hours: Sequence[HourUsage]) -> list[tuple[K, list[HourUsage]]]:
    """In groups, in the order in which each is met first."""
    groups: dict[K, list[HourUsage]] = {}
    for one in hours:
        groups.setdefault(key(one), []).append(one)
    return list(groups.items())


async def read_system(db: Database, queue: Queue, looks: Looks) -> SystemView:
    """What it shows of PostgreSQL may be five seconds old, of Redis one."""
    database = await looks.recent("database", 5.0, partial(_read_database, db, looks))
    log = await looks.recent("log", 5.0, partial(_read_log, db, queue))
    redis = await looks.recent("redis", 1.0, partial(_read_redis, queue))
    return SystemView(await read_clock(db), database, log, redis)


async def _read_database(db: Database, looks: Looks) -> DatabaseView:
    server = await store.find_server(db)
    workers = (await read_workers(db, looks)).data
    living = [worker for worker in workers if worker.state in {WorkerState.ALIVE, WorkerState.ASLEEP}]
    tables = await looks.recent("tables", 60.0, partial(store.list_tables, db, LARGEST))
    return DatabaseView(
        version=server.version,
        size_bytes=server.size_bytes,
        connections=server.connections,
        most_connections=server.most_connections,
        waiting_for_locks=server.waiting_for_locks,
        waiting_here=db.waiting(),
        oldest_transaction_seconds=server.oldest_transaction_seconds,
        pools=_pools(living),
        sessions=tuple(await store.list_sessions(db)),
        tables=tuple(tables),
    )


def _pools(living: Iterable[WorkerView]) -> tuple[PoolView, ...]:
    """A process has a heartbeat for each of its roles, and one pool."""
    of: dict[tuple[str, int], WorkerView] = {}
    for one in sorted(living, key=lambda worker: worker.name):
        of.setdefault((one.host, one.pid), one)
    return tuple(PoolView(one.name, one.process, one.connections, one.connections_used) for one in of.values())


async def _read_log(db: Database, queue: Queue) -> LogPipeline:
    since = await read_clock(db) - LOG_SPAN
    lines = await store.count_lines(db, first_id(since), since, MOST_LINES)
    line = await queue.line(Process.LOGS)
    letters = await store.find_letters(db)
    waiting, dropped, spilled = await processes.log_counters(db, ALIVE)
    return LogPipeline(
        rows_per_minute=lines / (LOG_SPAN.total_seconds() / 60),
        newest_at=await store.find_newest(db, since - timedelta(days=1)),
        jobs=line.depth if line else None,
        lag_seconds=line.oldest if line else None,
        dead_letters=letters.count,
        newest_dead_letter_at=letters.newest_at,
        waiting=waiting,
        dropped=dropped,
        spilled=spilled,
    )


async def _read_redis(queue: Queue) -> RedisView | None:
    told = await queue.usage()
    if told is None:
        return None
    rate = told.commands_per_second
    return RedisView(
        version=told.version,
        used_bytes=told.used_bytes,
        most_bytes=told.most_bytes,
        eviction_policy=told.eviction_policy,
        append_only=told.append_only,
        clients=told.clients,
        keys=told.keys,
        commands_per_second=rate,
        monthly_dollars=None if rate is None else rate * SECONDS_A_MONTH * DOLLARS_PER_COMMAND,
    )
