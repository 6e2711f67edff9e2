"""A run: its kinds, its states and the moves between them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from roadmap.events.model import EventType
from roadmap.roadmaps.model import RunStatus

__all__ = ["ACTIVE", "END_EVENTS", "MOVES", "DraftClaim", "Run", "RunKind", "RunStatus"]


class RunKind(StrEnum):
    CREATE = "create"
    COMPLETE = "complete"


# Every move that a run may make. It begins `queued`, or `writing` when it completes a roadmap that has a plan. The
# statements in store.py are compare-and-set on the left-hand side.
MOVES = {
    RunStatus.QUEUED: {RunStatus.DRAFTING, RunStatus.CANCELED},
    RunStatus.DRAFTING: {RunStatus.WRITING, RunStatus.FAILED, RunStatus.CANCELED},
    RunStatus.WRITING: {RunStatus.SUCCEEDED, RunStatus.INCOMPLETE, RunStatus.CANCELED},
    RunStatus.SUCCEEDED: set(),
    RunStatus.INCOMPLETE: set(),
    RunStatus.FAILED: set(),
    RunStatus.CANCELED: set(),
}
ACTIVE = frozenset(status for status, moves in MOVES.items() if moves)

END_EVENTS = {
    RunStatus.SUCCEEDED: EventType.RUN_SUCCEEDED,
    RunStatus.INCOMPLETE: EventType.RUN_INCOMPLETE,
    RunStatus.FAILED: EventType.RUN_FAILED,
    RunStatus.CANCELED: EventType.RUN_CANCELED,
}


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its owner sees it."""

    id: UUID
    roadmap_id: UUID
    kind: RunKind
    status: RunStatus
    failures: int
    crashes: int
    error_code: str | None
    error_message: str | None
    report: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    planned_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class DraftClaim:
    """A run that this process drafts. Every write says `claim`; a late one is refused. `preferences` are as they are
    stored: reading them is part of the work, and may fail like it. `max_cost_micros` is the roadmap's budget (None: no
    limit)."""

    run_id: UUID
    roadmap_id: UUID
    user_id: UUID
    claim: int
    failures: int
    crashes: int
    created_at: datetime
    goal: str
    preferences: dict[str, Any]
    max_cost_micros: int | None = None
