"""A process by its heartbeat: what it said last, what that says of it now, and what it works on."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from roadmap.heartbeat import ALIVE, Process

__all__ = ["AWAKE", "JobView", "WorkerList", "WorkerRow", "WorkerState", "WorkerView"]

# A worker looks at its queue twice a minute at the least.
AWAKE = timedelta(seconds=60)


class WorkerState(StrEnum):
    ALIVE = "alive"
    ASLEEP = "asleep"  # it lives, and takes no jobs
    HIBERNATING = "hibernating"  # it holds no connection, and wakes when it is asked
    DEAD = "dead"  # it said nothing lately, not even that it ends; or it slept, and nobody answers where it was


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """`polled_at` is None for a process without a queue, and under stock arq. `now` is the database's time."""

    name: str
    process: Process
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime
    polled_at: datetime | None
    running: int
    loop_lag_ms: int
    memory_bytes: int
    connections: int
    connections_used: int
    now: datetime
    hibernating_since: datetime | None = None
    asked_in_vain_since: datetime | None = None

    @property
    def silent(self) -> timedelta:
        return self.now - self.seen_at

    @property
    def state(self) -> WorkerState:
        if self.asked_in_vain_since is not None:
            return WorkerState.DEAD
        if self.hibernating_since is not None:
            return WorkerState.HIBERNATING
        if self.silent > timedelta(seconds=ALIVE):
            return WorkerState.DEAD
        if self.polled_at is not None and self.now - self.polled_at > AWAKE:
            return WorkerState.ASLEEP
        return WorkerState.ALIVE


@dataclass(frozen=True, slots=True)
class JobView:
    """Work that a process holds. `kinds` are the pieces that it still writes; empty for a draft. `attempt` counts its
    claims. `elapsed_seconds` is since the claim; null: not known."""

    function: str
    worker: str
    run_id: str
    roadmap_id: str
    concept_id: str | None
    kinds: tuple[str, ...]
    goal: str
    attempt: int
    elapsed_seconds: float | None


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A process by its last heartbeat; they come every five seconds. `polled_at`: when it last looked at its queue;
    null: it has none, or cannot tell. `loop_lag_ms`: the longest in the ten seconds before. `connections` are to
    PostgreSQL. `jobs`: at most a hundred of what it holds, those held longest first."""

    name: str
    process: Process
    state: WorkerState
    silent_seconds: float
    host: str
    pid: int
    version: str
    started_at: datetime
    uptime_seconds: float
    seen_at: datetime
    polled_at: datetime | None
    hibernating_since: datetime | None
    running: int
    loop_lag_ms: int
    memory_bytes: int
    connections: int
    connections_used: int
    jobs: tuple[JobView, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerList:
    """Those heard of last come first; at most 500."""

    data: tuple[WorkerView, ...]
