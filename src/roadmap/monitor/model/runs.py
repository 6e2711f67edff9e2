"""Runs and roadmaps as operators see them: whose they are, how far they are, and what was tried."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from roadmap.content.model import ContentStatus
from roadmap.llm.model import CallStatus
from roadmap.monitor.model.failures import DeadRow
from roadmap.monitor.model.log import LogLine
from roadmap.roadmaps.model import Kind
from roadmap.runs.model import RunKind, RunStatus

__all__ = [
    "CallView",
    "ConceptView",
    "ModuleView",
    "PieceView",
    "RoadmapTree",
    "RunFilters",
    "RunPage",
    "RunRow",
    "RunView",
    "StageView",
    "StepView",
]


@dataclass(frozen=True, slots=True)
class RunFilters:
    """Which runs a list shows. `learner` is an e-mail address in any case of letters, or a user's id; `after` and
    `before` are times of creation."""

    status: RunStatus | None = None
    kind: RunKind | None = None
    error_code: str | None = None
    learner: str | UUID | None = None
    roadmap_id: UUID | None = None
    run_id: UUID | None = None
    after: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    """`duration_seconds`: until its end, or until now. The pieces are the roadmap's that this run last wrote; `goal`
    is cut off at 200 characters."""

    id: str
    roadmap_id: str
    user_id: str
    learner: str
    goal: str
    title: str | None
    kind: RunKind
    status: RunStatus
    error_code: str | None
    error_message: str | None
    failures: int
    crashes: int
    created_at: datetime
    finished_at: datetime | None
    duration_seconds: float
    ready: int
    failed: int
    open: int


@dataclass(frozen=True, slots=True)
class RunPage:
    data: tuple[RunRow, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class StepView:
    key: str
    at: datetime
    duration_ms: int


@dataclass(frozen=True, slots=True)
class PieceView:
    """`attempt` counts its claims, also those that were handed back. `due_at`: when somebody looks at it next."""

    concept_id: str
    concept_title: str | None
    kind: Kind
    status: ContentStatus
    version: int
    attempt: int
    failures: int
    crashes: int
    error_code: str | None
    error_message: str | None
    worker: str | None
    due_at: datetime | None
    not_before: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class CallView:
    """One question to the model. `offset_seconds` is since the run was created; `seconds` is null while it is open, or
    when nobody knows its end. `attempt`: the claim it was made under; `round`: from 0, of repair."""

    purpose: str
    concept_id: str | None
    concept_title: str | None
    kind: str | None
    attempt: int
    round: int
    status: CallStatus
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_micros: int
    latency_ms: int | None
    finish_reason: str | None
    error: str | None
    created_at: datetime
    offset_seconds: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class RunView:
    """One run with all that happened in it. Bounded: `calls` are the first thousand of `call_count`, `log` the newest
    five hundred lines, oldest first. Micro-dollars and tokens are of all calls of the run."""

    run: RunRow
    attempt: int
    worker: str | None
    started_at: datetime | None
    planned_at: datetime | None
    due_at: datetime | None
    not_before: datetime | None
    report: dict[str, Any] | None
    steps: tuple[StepView, ...]
    pieces: tuple[PieceView, ...]
    calls: tuple[CallView, ...]
    call_count: int
    cost_micros: int
    input_tokens: int
    output_tokens: int
    dead_jobs: tuple[DeadRow, ...]
    log: tuple[LogLine, ...]


@dataclass(frozen=True, slots=True)
class ConceptView:
    """`state`: of its pieces the one that matters most: failed, then writing, pending, ready. Null: it has no piece."""

    id: str
    title: str
    minutes: int
    state: ContentStatus | None
    pieces: tuple[PieceView, ...]


@dataclass(frozen=True, slots=True)
class ModuleView:
    id: str
    title: str
    concepts: tuple[ConceptView, ...]


@dataclass(frozen=True, slots=True)
class StageView:
    id: str
    title: str
    modules: tuple[ModuleView, ...]


@dataclass(frozen=True, slots=True)
class RoadmapTree:
    """`can_complete`: no run is active and something is missing. `stages` are empty until there is a plan. `deleted`:
    its owner removed it. `runs` are the newest fifty."""

    id: str
    user_id: str
    learner: str
    goal: str
    title: str | None
    version: int | None
    status: RunStatus
    run_id: str
    active: bool
    can_complete: bool
    deleted: bool
    created_at: datetime
    cost_micros: int
    max_cost_micros: int | None
    ready: int
    failed: int
    open: int
    stages: tuple[StageView, ...]
    runs: tuple[RunRow, ...]
