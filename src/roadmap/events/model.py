"""The types of events and their payloads. The OpenAPI document is generated from these models."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = [
    "PAYLOADS",
    "TERMINAL",
    "ContentFailed",
    "ContentReady",
    "Event",
    "EventType",
    "Notice",
    "PlanReady",
    "RunMoved",
    "StepDone",
]


class EventType(StrEnum):
    RUN_QUEUED = "run.queued"
    RUN_STARTED = "run.started"
    RUN_STEP = "run.step"
    PLAN_READY = "plan.ready"
    CONTENT_READY = "content.ready"
    CONTENT_FAILED = "content.failed"
    RUN_SUCCEEDED = "run.succeeded"
    RUN_INCOMPLETE = "run.incomplete"
    RUN_FAILED = "run.failed"
    RUN_CANCELED = "run.canceled"


# After one of these nothing more comes until a person asks for another run.
TERMINAL = frozenset({EventType.RUN_SUCCEEDED, EventType.RUN_INCOMPLETE, EventType.RUN_FAILED, EventType.RUN_CANCELED})


class Payload(BaseModel):
    model_config = ConfigDict(frozen=True)

    run_id: str


class RunMoved(Payload):
    """run.queued, run.started, and the four ends of a run. `code` and `message` say why it failed."""

    status: str
    code: str | None = None
    message: str | None = None


class StepDone(Payload):
    step: str
    duration_ms: int


class PlanReady(Payload):
    version: int
    concepts: int
    minutes: int
    title: str


class ContentReady(Payload):
    concept_id: str
    kind: str
    version: int


class ContentFailed(Payload):
    concept_id: str
    kind: str
    code: str
    message: str


PAYLOADS: dict[EventType, type[Payload]] = {
    EventType.RUN_QUEUED: RunMoved,
    EventType.RUN_STARTED: RunMoved,
    EventType.RUN_STEP: StepDone,
    EventType.PLAN_READY: PlanReady,
    EventType.CONTENT_READY: ContentReady,
    EventType.CONTENT_FAILED: ContentFailed,
    EventType.RUN_SUCCEEDED: RunMoved,
    EventType.RUN_INCOMPLETE: RunMoved,
    EventType.RUN_FAILED: RunMoved,
    EventType.RUN_CANCELED: RunMoved,
}


@dataclass(frozen=True, slots=True)
class Notice:
    """An event that is about to be appended."""

    type: EventType
    payload: Payload


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it is stored; `seq` counts from 1 without a gap in each roadmap."""

    seq: int
    type: str
    payload: dict[str, Any]
    at: datetime
