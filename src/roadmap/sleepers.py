"""Workers that hibernate, as those see them who wake them: their rows, which only the workers themselves make."""

from roadmap.database import Executor
from roadmap.heartbeat import ALIVE

__all__ = ["MOST", "forget_lost", "forget_predecessors", "list_sleepers", "note_answer"]

MOST = 20

# When anybody is awake there is nobody to wake: whoever works does not hibernate while there is more.
LIST_SLEEPERS = """
SELECT wake_url FROM workers
WHERE process = 'content' AND hibernating_since IS NOT NULL AND NOT EXISTS (
    SELECT FROM workers AS other
    WHERE other.process = 'content' AND other.hibernating_since IS NULL
      AND other.seen_at > now() - make_interval(secs => $1)
)
GROUP BY wake_url ORDER BY max(hibernating_since) DESC LIMIT $2
"""


async def list_sleepers(db: Executor) -> list[str]:
    """Their addresses, when all content workers sleep; replicas may share one."""
    return [row["wake_url"] for row in await db.fetch(LIST_SLEEPERS, ALIVE, MOST)]


NOTE_ANSWER = """
UPDATE workers SET asked_in_vain_since = CASE WHEN $2 THEN NULL ELSE coalesce(asked_in_vain_since, now()) END
WHERE hibernating_since IS NOT NULL AND wake_url = $1 AND ($2 <> (asked_in_vain_since IS NULL))
"""


async def note_answer(db: Executor, wake_url: str, answered: bool) -> None:
    await db.execute(NOTE_ANSWER, wake_url, answered)


FORGET_LOST = """
DELETE FROM workers
WHERE hibernating_since IS NOT NULL AND wake_url = $1 AND asked_in_vain_since < now() - interval '1 day'
"""


async def forget_lost(db: Executor, wake_url: str) -> None:
    """Those where nobody has answered for a day."""
    await db.execute(FORGET_LOST, wake_url)


# On its own machine nobody else has this address. Elsewhere it may be a replica's, which says something now and then.
FORGET_PREDECESSORS = """
DELETE FROM workers USING workers AS heir
WHERE heir.name = $1 AND workers.name <> heir.name AND workers.process = heir.process
  AND workers.hibernating_since IS NOT NULL AND workers.wake_url = $2
  AND (workers.host = heir.host OR workers.seen_at < now() - make_interval(secs => $3))
"""


async def forget_predecessors(db: Executor, name: str, wake_url: str, outdated: float) -> None:
    """Those that slept where `name` is awake now: a process that is started again has another name. `outdated`: seconds
    without a word after which a sleeper at this address is none any more."""
    await db.execute(FORGET_PREDECESSORS, name, wake_url, outdated)
