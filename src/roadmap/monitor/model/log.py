"""Lines of the execution log as operators see them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from roadmap.execution_log.model import Category, Level

__all__ = ["LogLine"]


@dataclass(frozen=True, slots=True)
class LogLine:
    at: datetime
    level: Level
    category: Category
    step: str | None
    concept_id: str | None
    message: str
    details: dict[str, Any]
    duration_ms: int | None
