"""What was given up, by fault and one by one; and what operators did."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from roadmap.audit.model import Action
from roadmap.dead_jobs.model import DeadJobStatus
from roadmap.monitor.model.log import LogLine

__all__ = ["AuditPage", "AuditRow", "DeadPage", "DeadRow", "DeadView", "FailureGroup", "FailureList"]


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Equal faults that nobody has dealt with; `message` is the latest one's. `hours`: how many died in each of the
    last 24 hours, the oldest first."""

    fingerprint: str
    function: str | None
    kind: str | None
    code: str
    error_class: str
    message: str
    count: int
    first_died_at: datetime
    last_died_at: datetime
    hours: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FailureList:
    """At most a hundred groups, the most frequent first; the totals count all."""

    data: tuple[FailureGroup, ...]
    groups: int
    dead_jobs: int


@dataclass(frozen=True, slots=True)
class DeadRow:
    """`job_id` is its id on the queue; null for a run's draft and for a piece of content, whose own state tells it."""

    id: str
    status: DeadJobStatus
    queue: str
    function: str | None
    job_id: str | None
    roadmap_id: str | None
    run_id: str | None
    concept_id: str | None
    kind: str | None
    attempts: int
    code: str
    error_class: str
    message: str
    fingerprint: str
    died_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None


@dataclass(frozen=True, slots=True)
class DeadPage:
    data: tuple[DeadRow, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class DeadView(DeadRow):
    """One with everything. `advice`: what helps, as a rule; null: nobody knows this code. `raw` is the beginning of a
    payload that could not be read; `siblings` are the others of its fault that are still dead. `log`: the last lines of
    its run about its concept, or about all of a run that could not be planned, oldest first."""

    advice: str | None
    payload: dict[str, Any] | None
    raw: str | None
    traceback: str | None
    goal: str | None
    learner: str | None
    concept_title: str | None
    siblings: int
    log: tuple[LogLine, ...]


@dataclass(frozen=True, slots=True)
class AuditRow:
    """`address` is null for the command line. `action` may be a word of a newer release."""

    id: str
    at: datetime
    actor: str
    address: str | None
    action: Action | str
    subject: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AuditPage:
    data: tuple[AuditRow, ...]
    next_cursor: str | None
