"""Queues as PostgreSQL knows them: what is open, what is held, what is paused."""

from dataclasses import dataclass
from datetime import datetime

from roadmap.database import Executor

__all__ = ["MOST_OPEN", "OpenWork", "Pause", "count_runs", "find_open_work", "insert_pause", "remove_pause"]
__all__ += ["Totals", "count_ended", "find_totals", "list_pauses"]

# How much of the open work is looked at.
MOST_OPEN = 20_000


@dataclass(frozen=True, slots=True)
class OpenWork:
    """Pieces and drafts. `oldest`: for how many seconds one waits that might be taken; None: none waits."""

    open: int
    held: int
    oldest: float | None


# A piece's `updated_at` is when it began to wait: sweepers leave it alone.
FIND_OPEN_WORK = """
WITH open_work AS (
    (SELECT claimed_by, not_before, updated_at AS since FROM content WHERE due_at IS NOT NULL LIMIT $1)
    UNION ALL
    (SELECT claimed_by, not_before, created_at AS since FROM runs WHERE due_at IS NOT NULL LIMIT $1)
)
SELECT least(count(*), $1)::int AS open, count(claimed_by)::int AS held,
       extract(epoch FROM now() - min(greatest(since, not_before))
           FILTER (WHERE claimed_by IS NULL AND (not_before IS NULL OR not_before <= now())))::float AS oldest
FROM open_work
"""


async def find_open_work(db: Executor) -> OpenWork:
    row = await db.fetchrow(FIND_OPEN_WORK, MOST_OPEN)
    assert row is not None  # noqa: S101  an aggregate has one row
    return OpenWork(**row)


@dataclass(frozen=True, slots=True)
class Pause:
    name: str
    paused_at: datetime
    paused_by: str


LIST_PAUSES = """
SELECT name, paused_at, paused_by FROM paused_queues
"""


async def list_pauses(db: Executor) -> dict[str, Pause]:
    return {row["name"]: Pause(**row) for row in await db.fetch(LIST_PAUSES)}


INSERT_PAUSE = """
INSERT INTO paused_queues (name, paused_by) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING name
"""


async def insert_pause(tx: Executor, name: str, who: str) -> bool:
    """False: it was paused already."""
    return await tx.fetchval(INSERT_PAUSE, name, who) is not None


REMOVE_PAUSE = """
DELETE FROM paused_queues WHERE name = $1 RETURNING name
"""


async def remove_pause(tx: Executor, name: str) -> bool:
    """False: it was not paused."""
    return await tx.fetchval(REMOVE_PAUSE, name) is not None


COUNT_RUNS = """
SELECT status, count(*)::int AS count FROM runs WHERE status IN ('queued', 'drafting', 'writing') GROUP BY status
"""


async def count_runs(db: Executor) -> dict[str, int]:
    """Those that are active, by status."""
    return {row["status"]: row["count"] for row in await db.fetch(COUNT_RUNS)}


# By id, which is a time: a run that ended today and began before the day before is left out.
COUNT_ENDED = """
SELECT status, count(*)::int AS count FROM runs
WHERE id > $1 AND finished_at > now() - interval '1 day' GROUP BY status
"""


async def count_ended(db: Executor, since: object) -> dict[str, int]:
    """Runs that ended in the last day, by status; `since` is the first id of two days ago."""
    return {row["status"]: row["count"] for row in await db.fetch(COUNT_ENDED, since)}


@dataclass(frozen=True, slots=True)
class Totals:
    """Of model calls that began today, UTC."""

    calls: int
    tokens: int
    cost_micros: int


FIND_TOTALS = """
SELECT count(*)::int AS calls, coalesce(sum(input_tokens + output_tokens), 0)::bigint AS tokens,
       coalesce(sum(cost_micros), 0)::bigint AS cost_micros
FROM model_calls WHERE created_at >= date_trunc('day', now(), 'UTC')
"""


async def find_totals(db: Executor) -> Totals:
    row = await db.fetchrow(FIND_TOTALS)
    assert row is not None  # noqa: S101  an aggregate has one row
    return Totals(**row)
