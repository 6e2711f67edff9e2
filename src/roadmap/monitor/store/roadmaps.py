"""A roadmap of whichever learner, with its plan."""

from uuid import UUID

from roadmap.database import Executor, Row
from roadmap.roadmaps.model import Structure

__all__ = ["concept_titles", "find_owner_of_roadmap", "find_roadmap"]

FIND_ROADMAP = """
SELECT roadmaps.id, roadmaps.user_id, users.email AS learner, goal, title, current_version AS version, runs.status,
       runs.id AS run_id, roadmaps.created_at, max_cost_micros, deleted_at IS NOT NULL AS deleted, structure,
       (SELECT coalesce(sum(cost_micros), 0)::bigint FROM runs JOIN model_calls ON run_id = runs.id
        WHERE runs.roadmap_id = $1) AS cost_micros
FROM roadmaps JOIN runs ON runs.id = latest_run_id JOIN users ON users.id = roadmaps.user_id
LEFT JOIN roadmap_versions AS versions ON versions.roadmap_id = roadmaps.id AND versions.version = current_version
WHERE roadmaps.id = $1
"""


async def find_roadmap(db: Executor, roadmap_id: UUID) -> Row | None:
    """Also one that its owner has removed."""
    return await db.fetchrow(FIND_ROADMAP, roadmap_id)


FIND_STRUCTURE = """
SELECT structure FROM roadmaps JOIN roadmap_versions AS versions
    ON versions.roadmap_id = roadmaps.id AND versions.version = current_version
WHERE roadmaps.id = $1
"""


async def concept_titles(db: Executor, roadmap_id: UUID) -> dict[str, str]:
    """By the concept's id as the API shows it; empty until there is a plan."""
    stored = await db.fetchval(FIND_STRUCTURE, roadmap_id)
    return {} if stored is None else {concept.id: concept.title for concept in Structure.load(stored).concepts()}


FIND_OWNER_OF_ROADMAP = """
SELECT user_id FROM roadmaps WHERE id = $1
"""


async def find_owner_of_roadmap(db: Executor, roadmap_id: UUID) -> UUID | None:
    user_id: UUID | None = await db.fetchval(FIND_OWNER_OF_ROADMAP, roadmap_id)
    return user_id
