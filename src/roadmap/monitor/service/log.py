"""What was noted lately of a run, or of one concept in it."""

from datetime import timedelta
from uuid import UUID

from roadmap.database import Database
from roadmap.execution_log import store
from roadmap.execution_log.model import Entry
from roadmap.execution_log.store import LoggedRun, Period
from roadmap.ids import Prefix, show_id
from roadmap.monitor.model.log import LogLine

__all__ = ["read_log"]

# Entries of the log may be noted a moment before or after their run's times, by another clock.
TRAIL = timedelta(minutes=5)


async def read_log(db: Database, run: LoggedRun, most: int, concept_id: UUID | None = None) -> tuple[LogLine, ...]:
    """The newest lines between the run's times, oldest first."""
    period = Period(run.begin - TRAIL, run.end + TRAIL)
    entries = await store.latest(db, run.id, period, most, concept_id)
    return tuple(_show_entry(entry) for entry in reversed(entries))


def _show_entry(entry: Entry) -> LogLine:
    return LogLine(
        at=entry.at,
        level=entry.level,
        category=entry.category,
        step=entry.step,
        concept_id=show_id(Prefix.CONCEPT, entry.concept_id) if entry.concept_id else None,
        message=entry.message,
        details=dict(entry.details),
        duration_ms=entry.duration_ms,
    )
