"""A dead job, and which of them an operator means."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

__all__ = ["DeadJob", "DeadJobStatus", "Death", "Group", "Selection"]


class DeadJobStatus(StrEnum):
    DEAD = "dead"
    RETRIED = "retried"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Death:
    """Why work was given up. `message` is public, `traceback` is for operators; equal faults share a `fingerprint`."""

    code: str
    error_class: str
    message: str
    traceback: str | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class DeadJob:
    """As it is stored. `payload`, `raw` and `traceback` are read for one, never for a list.

    `job_id` is its id on the queue; None for work that a row gave up, which has a `run_id`, and when it was a piece of
    content a `concept_id` and a `kind`.
    """

    id: UUID
    queue: str
    job_id: str | None
    function: str | None
    run_id: UUID | None
    roadmap_id: UUID | None
    concept_id: UUID | None
    kind: str | None
    attempts: int
    code: str
    error_class: str
    message: str
    fingerprint: str
    status: DeadJobStatus
    died_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    payload: dict[str, Any] | None = None
    raw: bytes | None = None
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Dead jobs of one fingerprint that nobody has dealt with; `message` is the latest one's."""

    fingerprint: str
    function: str | None
    kind: str | None
    code: str
    error_class: str
    message: str
    count: int
    first_died_at: datetime
    last_died_at: datetime


@dataclass(frozen=True, slots=True)
class Selection:
    """These, those of a fingerprint, or all; of whichever only what is still dead."""

    ids: tuple[UUID, ...] | None = None
    fingerprint: str | None = None
