"""The model's use and cost, and what the service stands on: PostgreSQL, the log's pipeline, Redis."""

from dataclasses import dataclass
from datetime import date, datetime

from roadmap.heartbeat import Process

__all__ = [
    "DatabaseView",
    "DayUsage",
    "GateView",
    "HourCalls",
    "LogPipeline",
    "ModelUsage",
    "ModelView",
    "PoolView",
    "RedisView",
    "RoadmapCost",
    "SessionCount",
    "SystemView",
    "TableSize",
]


@dataclass(frozen=True, slots=True)
class DayUsage:
    """A day in UTC, and one model."""

    day: date
    provider: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_micros: int


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """Of seven days; the latencies are of the newest ten thousand calls. `busy`: 429s and the like."""

    provider: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_micros: int
    unusable: int
    outages: int
    busy: int
    latency_p50_ms: int | None
    latency_p95_ms: int | None


@dataclass(frozen=True, slots=True)
class HourCalls:
    """An hour, from `at`, of all models."""

    at: datetime
    ok: int
    unusable: int
    outages: int
    busy: int


@dataclass(frozen=True, slots=True)
class RoadmapCost:
    """What a roadmap's calls of the last seven days cost."""

    roadmap_id: str
    learner: str
    goal: str
    calls: int
    tokens: int
    cost_micros: int


@dataclass(frozen=True, slots=True)
class GateView:
    """The calls that a provider is asked just now, of all processes together; `name` is its address and model. There is
    one only where a limit is set."""

    name: str
    calls: int


@dataclass(frozen=True, slots=True)
class ModelView:
    """`days` and `models` are of seven days, `hours` of the last twenty-four, oldest first; at most thirty seconds old,
    as `at` says. `gates` is null while Redis is away."""

    at: datetime
    days: tuple[DayUsage, ...]
    models: tuple[ModelUsage, ...]
    hours: tuple[HourCalls, ...]
    roadmaps: tuple[RoadmapCost, ...]
    gates: tuple[GateView, ...] | None


@dataclass(frozen=True, slots=True)
class PoolView:
    """One process's connections, open and in use, by its last heartbeat. One that serves several roles has one pool."""

    name: str
    process: Process
    connections: int
    used: int


@dataclass(frozen=True, slots=True)
class SessionCount:
    """Sessions of our role; those in a transaction that does nothing are `idle_in_transaction`."""

    application: str
    active: int
    idle: int
    idle_in_transaction: int


@dataclass(frozen=True, slots=True)
class TableSize:
    """`rows` is PostgreSQL's estimate; null: it has none yet. A partitioned table counts its partitions."""

    name: str
    size_bytes: int
    rows: int | None


@dataclass(frozen=True, slots=True)
class DatabaseView:
    """`connections` are all of the server's, of `most_connections` that it offers us. `oldest_transaction_seconds` is
    of ours; null: there is none. `waiting_here`: who waits for a connection in the process that answers; of the others
    /metrics tells."""

    version: str
    size_bytes: int
    connections: int
    most_connections: int
    waiting_for_locks: int
    waiting_here: int
    oldest_transaction_seconds: float | None
    pools: tuple[PoolView, ...]
    sessions: tuple[SessionCount, ...]
    tables: tuple[TableSize, ...]


@dataclass(frozen=True, slots=True)
class LogPipeline:
    """`rows_per_minute` is of the last five minutes. `jobs` and `lag_seconds` are of the queue `logs`: how many batches
    wait, and for how long the first of them; null while Redis is away. `waiting`, `dropped` and `spilled` are entries,
    of the processes that live, since each one's start: not yet seen in PostgreSQL, lost, and written to stderr."""

    rows_per_minute: float
    newest_at: datetime | None
    jobs: int | None
    lag_seconds: float | None
    dead_letters: int
    newest_dead_letter_at: datetime | None
    waiting: int
    dropped: int
    spilled: int


@dataclass(frozen=True, slots=True)
class RedisView:
    """`commands_per_second` is since this process last looked; null: it had not. `monthly_dollars` is the price of so
    many commands, where they are billed one by one."""

    version: str
    used_bytes: int
    most_bytes: int | None
    eviction_policy: str
    append_only: bool
    clients: int
    keys: int
    commands_per_second: float | None
    monthly_dollars: float | None


@dataclass(frozen=True, slots=True)
class SystemView:
    """`redis` is null while it is away."""

    at: datetime
    database: DatabaseView
    log: LogPipeline
    redis: RedisView | None
