"""Roadmaps in PostgreSQL. List queries never read a structure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from roadmap.database import Executor, Row, like_pattern
from roadmap.roadmaps.model import LearnerLevel, Structure, Wishes

__all__ = ["CurrentPlan", "Filters", "add_version", "find_roadmap", "list_pieces", "list_roadmaps", "load_plan", "owns"]

ADD_VERSION = """
WITH version AS (
    INSERT INTO roadmap_versions (roadmap_id, version, structure, report, concept_count, minutes)
    SELECT $1, coalesce(current_version, 0) + 1, $2, $3, $4, $5 FROM roadmaps WHERE id = $1
    RETURNING version
)
UPDATE roadmaps SET current_version = version.version, title = $6 FROM version WHERE id = $1
RETURNING current_version
"""


async def add_version(tx: Executor, roadmap_id: UUID, structure: Structure, report: dict[str, Any]) -> int:
    """Stores the next immutable version and makes it the current one; returns its number."""
    return int(
        await tx.fetchval(
            ADD_VERSION,
            roadmap_id,
            structure.dump(),
            report,
            len(structure.concepts()),
            structure.minutes(),
            structure.title,
        )
    )


@dataclass(frozen=True, slots=True)
class CurrentPlan:
    """What was asked for, and the plan that answers it."""

    wishes: Wishes
    level: LearnerLevel
    structure: Structure


LOAD_PLAN = """
SELECT goal, preferences, structure, report ->> 'level' AS level FROM roadmaps
JOIN roadmap_versions ON roadmap_id = id AND version = current_version WHERE id = $1
"""


async def load_plan(db: Executor, roadmap_id: UUID) -> CurrentPlan:
    """The current plan, for a worker. The roadmap must have one."""
    row = await db.fetchrow(LOAD_PLAN, roadmap_id)
    assert row is not None  # noqa: S101  content rows exist only with a version
    wishes = Wishes.load(row["goal"], row["preferences"])
    return CurrentPlan(wishes, LearnerLevel(row["level"]), Structure.load(row["structure"]))


FIND_ROADMAP = """
SELECT roadmaps.id, goal, preferences, title, current_version, event_seq, roadmaps.created_at, updated_at,
       structure, versions.report, concept_count, minutes,
       runs.id AS run_id, runs.kind AS run_kind, runs.status, runs.error_code, runs.error_message,
       runs.report AS run_report, runs.started_at, runs.planned_at, runs.finished_at, max_cost_micros,
       (SELECT coalesce(sum(spent_micros), 0)::bigint FROM runs JOIN call_costs ON run_id = runs.id
        WHERE runs.roadmap_id = $1) AS cost_micros
FROM roadmaps JOIN runs ON runs.id = latest_run_id
LEFT JOIN roadmap_versions AS versions ON versions.roadmap_id = roadmaps.id AND version = current_version
WHERE roadmaps.id = $1 AND roadmaps.user_id = $2 AND deleted_at IS NULL
"""


async def find_roadmap(db: Executor, user_id: UUID, roadmap_id: UUID) -> Row | None:
    """The roadmap with its latest run, its current plan and what it has cost, when it is this user's."""
    return await db.fetchrow(FIND_ROADMAP, roadmap_id, user_id)


LIST_PIECES = """
SELECT concept_id, kind, status, version, error_code, error_message FROM content WHERE roadmap_id = $1
"""


async def list_pieces(db: Executor, roadmap_id: UUID) -> list[Row]:
    """The state of every piece of a roadmap's content."""
    return await db.fetch(LIST_PIECES, roadmap_id)


OWNS = """
SELECT EXISTS (SELECT FROM roadmaps WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL)
"""


async def owns(db: Executor, user_id: UUID, roadmap_id: UUID) -> bool:
    """Whether the roadmap is this user's."""
    return bool(await db.fetchval(OWNS, roadmap_id, user_id))


@dataclass(frozen=True, slots=True)
class Filters:
    """Which roadmaps a list shows. `text` is looked for in goal and title."""

    status: str | None = None
    text: str | None = None
    created_after: datetime | None = None


LIST_ROADMAPS = """
SELECT roadmaps.id, goal, title, current_version, roadmaps.created_at, updated_at, runs.id AS run_id, runs.status,
       concept_count, minutes
FROM roadmaps JOIN runs ON runs.id = latest_run_id
LEFT JOIN roadmap_versions AS versions ON versions.roadmap_id = roadmaps.id AND version = current_version
WHERE roadmaps.user_id = $1 AND deleted_at IS NULL AND ($2::uuid IS NULL OR roadmaps.id < $2)
  AND ($4::text IS NULL OR runs.status = $4)
  AND ($5::text IS NULL OR goal ILIKE $5 OR title ILIKE $5)
  AND ($6::timestamptz IS NULL OR roadmaps.created_at > $6)
ORDER BY roadmaps.id DESC LIMIT $3
"""


async def list_roadmaps(db: Executor, user_id: UUID, filters: Filters, after: UUID | None, limit: int) -> Sequence[Row]:
    """Newest first; `after` is the last roadmap of the page before."""
    pattern = like_pattern(filters.text)
    return await db.fetch(LIST_ROADMAPS, user_id, after, limit, filters.status, pattern, filters.created_after)
