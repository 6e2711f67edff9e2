"""When the dead jobs of each group died, and whose they are. Their rows are the room `dead_jobs`'s own."""

from collections.abc import Sequence
from uuid import UUID

from roadmap.database import Executor, Row

__all__ = ["HOURS", "count_dead", "count_siblings", "find_owner", "hours_of"]

HOURS = 24

COUNT_DEAD = """
SELECT count(*)::int FROM dead_jobs WHERE status = 'dead'
"""


async def count_dead(db: Executor) -> int:
    return int(await db.fetchval(COUNT_DEAD))


HOURS_OF = """
SELECT fingerprint, floor(extract(epoch FROM now() - died_at) / 3600)::int AS ago, count(*)::int AS count
FROM dead_jobs WHERE status = 'dead' AND fingerprint = ANY($1) AND died_at > now() - make_interval(hours => $2)
GROUP BY 1, 2
"""


async def hours_of(db: Executor, fingerprints: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """How many of each group died in each of the last 24 hours, the oldest first."""
    found = {fingerprint: [0] * HOURS for fingerprint in fingerprints}
    for row in await db.fetch(HOURS_OF, list(fingerprints), HOURS):
        if 0 <= row["ago"] < HOURS:
            found[row["fingerprint"]][HOURS - 1 - row["ago"]] = row["count"]
    return {fingerprint: tuple(hours) for fingerprint, hours in found.items()}


COUNT_SIBLINGS = """
SELECT count(*)::int FROM dead_jobs WHERE status = 'dead' AND fingerprint = $1 AND id <> $2
"""


async def count_siblings(db: Executor, fingerprint: str, dead_job_id: UUID) -> int:
    return int(await db.fetchval(COUNT_SIBLINGS, fingerprint, dead_job_id))


FIND_OWNER = """
SELECT left(goal, 200) AS goal, users.email AS learner
FROM roadmaps JOIN users ON users.id = roadmaps.user_id WHERE roadmaps.id = $1
"""


async def find_owner(db: Executor, roadmap_id: UUID) -> Row | None:
    return await db.fetchrow(FIND_OWNER, roadmap_id)
