"""A process by its heartbeat: what it said last, and what that says of it now."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from roadmap.heartbeat import ALIVE, Process

__all__ = ["WorkerRow", "WorkerState"]

# A worker looks at its queue twice a minute at the least.
AWAKE = timedelta(seconds=60)


class WorkerState(StrEnum):
    ALIVE = "alive"
    ASLEEP = "asleep"  # it lives, and takes no jobs
    DEAD = "dead"  # it said nothing lately, not even that it ends


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

    @property
    def silent(self) -> timedelta:
        return self.now - self.seen_at

    @property
    def state(self) -> WorkerState:
        if self.silent > timedelta(seconds=ALIVE):
            return WorkerState.DEAD
        if self.polled_at is not None and self.now - self.polled_at > AWAKE:
            return WorkerState.ASLEEP
        return WorkerState.ALIVE
