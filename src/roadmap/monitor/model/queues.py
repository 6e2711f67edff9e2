"""How the queues stand, and the service at one glance."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from roadmap.heartbeat import Process
from roadmap.monitor.model.failures import FailureGroup
from roadmap.monitor.model.runs import RunRow
from roadmap.runs.model import RunStatus

__all__ = [
    "Health",
    "JobsInLine",
    "Overview",
    "OverviewPoint",
    "PauseView",
    "ProcessCount",
    "QueueList",
    "QueueView",
    "QueuedJob",
    "RunCount",
]


class Health(StrEnum):
    """How well something does, against what it should."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True, slots=True)
class QueueView:
    """What Redis knows (`depth`, `running` of the first thousand in line, `oldest_waiting_seconds` of the first twenty
    that wait) is null while it is away. What PostgreSQL knows is null for the queue `logs`, whose work is in Redis
    alone: `open_work` are pieces of content and drafts (20000: or more), `oldest_open_seconds` since when one of them
    waits that might be taken, `in_flight` how many are held. `oldest_seconds` is the longer of both waits. Rates are
    jobs a minute over this minute and the one before; `drain_seconds` is null while the queue does not get shorter.
    `workers` are awake. `reasons` say why the level is not green, the worst first."""

    name: str
    level: Health
    reasons: tuple[str, ...]
    depth: int | None
    running: int | None
    oldest_waiting_seconds: float | None
    open_work: int | None
    oldest_open_seconds: float | None
    oldest_seconds: float | None
    in_flight: int | None
    rate_in: float | None
    rate_out: float | None
    drain_seconds: float | None
    paused_at: datetime | None
    paused_by: str | None
    workers: int
    hibernating: int


@dataclass(frozen=True, slots=True)
class QueueList:
    data: tuple[QueueView, ...]


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job in Redis. `payload` are its arguments as JSON text, cut off when they are long; null: it is gone.
    `waited_seconds` is since it was put there."""

    id: str
    function: str | None
    payload: str | None
    running: bool
    waited_seconds: float | None


@dataclass(frozen=True, slots=True)
class JobsInLine:
    """The first in line; null while Redis is away."""

    queue: str
    depth: int | None
    data: tuple[QueuedJob, ...] | None


@dataclass(frozen=True, slots=True)
class PauseView:
    """`changed`: it was not so before."""

    name: str
    paused: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class ProcessCount:
    process: Process
    alive: int
    asleep: int
    hibernating: int
    dead: int


@dataclass(frozen=True, slots=True)
class RunCount:
    status: RunStatus
    count: int


@dataclass(frozen=True, slots=True)
class OverviewPoint:
    """Jobs of all functions but the log's, in the minute or hour from `at`."""

    at: datetime
    offered: int
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class Overview:
    """`minutes` are the last sixty and `hours` the last twenty-four, oldest first. `open_runs` by status; `ended_runs`
    of the last twenty-four hours. `failures` are the five most frequent groups. Cost and calls are of today, UTC.
    `reasons` say why the level is not green, the worst first."""

    at: datetime
    level: Health
    reasons: tuple[str, ...]
    queues: tuple[QueueView, ...]
    processes: tuple[ProcessCount, ...]
    open_runs: tuple[RunCount, ...]
    ended_runs: tuple[RunCount, ...]
    dead_jobs: int
    failures: tuple[FailureGroup, ...]
    recent_runs: tuple[RunRow, ...]
    minutes: tuple[OverviewPoint, ...]
    hours: tuple[OverviewPoint, ...]
    cost_today_micros: int
    calls_today: int
    tokens_today: int
