"""What jobs took, by function: for the last hour, the last day, and as a series of seven days."""

from dataclasses import dataclass
from datetime import datetime

__all__ = ["FunctionList", "FunctionPoint", "FunctionView", "SpanFigures"]


@dataclass(frozen=True, slots=True)
class SpanFigures:
    """Seconds are null where no job ended. `returned`: handed back, to be done again. `failure_rate`: of those that
    succeeded or failed; null: none did."""

    offered: int
    succeeded: int
    failed: int
    returned: int
    failure_rate: float | None
    wait_p50: float | None
    wait_p95: float | None
    wait_p99: float | None
    run_p50: float | None
    run_p95: float | None
    run_p99: float | None


@dataclass(frozen=True, slots=True)
class FunctionPoint:
    """An hour, from `at`."""

    at: datetime
    offered: int
    succeeded: int
    failed: int
    wait_p95: float | None
    run_p95: float | None


@dataclass(frozen=True, slots=True)
class FunctionView:
    """`week`: an hour each, oldest first; hours without any job are left out."""

    function: str
    queue: str | None
    hour: SpanFigures
    day: SpanFigures
    week: tuple[FunctionPoint, ...]


@dataclass(frozen=True, slots=True)
class FunctionList:
    data: tuple[FunctionView, ...]
