"""Dead jobs in PostgreSQL: buried once, listed, grouped, dealt with, forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from roadmap.database import Executor, Row
from roadmap.dead_jobs.model import DeadJob, DeadJobStatus, Death, Group, Selection
from roadmap.ids import new_id

__all__ = [
    "DAYS_RESOLVED",
    "Filters",
    "Work",
    "bury_job",
    "bury_work",
    "count_groups",
    "find_dead_job",
    "forget_resolved",
    "list_dead_jobs",
    "list_groups",
    "open_page",
    "resolve",
    "resolve_roadmap",
]

# How long is shown what operators have dealt with.
DAYS_RESOLVED = 30


@dataclass(frozen=True, slots=True)
class Work:
    """What was given up: a run's draft, one piece of its content, or a job on a queue (then with its id there).

    `payload` are the job's arguments; `raw` is the beginning of what could not be read.
    """

    queue: str
    function: str | None
    payload: dict[str, Any] | None
    attempts: int
    run_id: UUID | None = None
    concept_id: UUID | None = None
    kind: str | None = None
    job_id: str | None = None
    raw: bytes | None = None


BURY_WORK = """
INSERT INTO dead_jobs (id, queue, function, payload, attempts, run_id, concept_id, kind,
                       code, error_class, message, traceback, fingerprint)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (run_id, concept_id, kind) WHERE status = 'dead' AND job_id IS NULL DO UPDATE SET
    attempts = EXCLUDED.attempts, code = EXCLUDED.code, error_class = EXCLUDED.error_class,
    message = EXCLUDED.message, traceback = EXCLUDED.traceback, fingerprint = EXCLUDED.fingerprint, died_at = now()
"""


async def bury_work(tx: Executor, work: Work, death: Death) -> None:
    """For the transaction in which a run or a piece fails for good."""
    what = (work.queue, work.function, work.payload, work.attempts, work.run_id, work.concept_id, work.kind)
    await tx.execute(BURY_WORK, new_id(), *what, *_why(death))


# A job that dies again under its id (its sweeper, or a delivery after an answer that was lost) is counted, not doubled.
BURY_JOB = """
INSERT INTO dead_jobs (id, queue, job_id, function, payload, raw, attempts, run_id,
                       code, error_class, message, traceback, fingerprint)
VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT runs.id FROM runs WHERE runs.id = $8), $9, $10, $11, $12, $13)
ON CONFLICT (queue, job_id) WHERE status = 'dead' AND job_id IS NOT NULL DO UPDATE SET
    function = EXCLUDED.function, payload = EXCLUDED.payload, raw = EXCLUDED.raw,
    attempts = dead_jobs.attempts + EXCLUDED.attempts, code = EXCLUDED.code, error_class = EXCLUDED.error_class,
    message = EXCLUDED.message, traceback = EXCLUDED.traceback, fingerprint = EXCLUDED.fingerprint, died_at = now()
"""


async def bury_job(db: Executor, work: Work, death: Death) -> None:
    """A job that the queue gives up; `run_id` is kept only when there is such a run."""
    what = (work.queue, work.job_id, work.function, work.payload, work.raw, work.attempts, work.run_id)
    await db.execute(BURY_JOB, new_id(), *what, *_why(death))


def _why(death: Death) -> tuple[str | None, ...]:
    return death.code, death.error_class, death.message, death.traceback, death.fingerprint


@dataclass(frozen=True, slots=True)
class Filters:
    """Which dead jobs a list shows."""

    status: DeadJobStatus | None = None
    function: str | None = None
    fingerprint: str | None = None
    code: str | None = None
    run_id: UUID | None = None


_SHOWN = """dead_jobs.id, queue, job_id, function, run_id, runs.roadmap_id, concept_id, dead_jobs.kind, attempts, code,
    error_class, message, fingerprint, dead_jobs.status, died_at, resolved_at, resolved_by"""

LIST_DEAD_JOBS = f"""
SELECT {_SHOWN} FROM dead_jobs LEFT JOIN runs ON runs.id = run_id
WHERE ($1::text IS NULL OR dead_jobs.status = $1) AND ($2::text IS NULL OR function = $2)
  AND ($3::text IS NULL OR fingerprint = $3) AND ($4::text IS NULL OR code = $4)
  AND ($5::uuid IS NULL OR run_id = $5) AND ($6::uuid IS NULL OR dead_jobs.id < $6)
ORDER BY dead_jobs.id DESC LIMIT $7
"""  # noqa: S608  a constant list of columns


async def list_dead_jobs(db: Executor, filters: Filters, after: UUID | None, limit: int) -> list[DeadJob]:
    """Newest first; `after` is the last one of the page before."""
    wanted = (filters.status, filters.function, filters.fingerprint, filters.code, filters.run_id)
    return [_load(row) for row in await db.fetch(LIST_DEAD_JOBS, *wanted, after, limit)]


FIND_DEAD_JOB = f"""
SELECT {_SHOWN}, payload, raw, traceback FROM dead_jobs LEFT JOIN runs ON runs.id = run_id WHERE dead_jobs.id = $1
"""  # noqa: S608  a constant list of columns


async def find_dead_job(db: Executor, dead_job_id: UUID) -> DeadJob | None:
    """With payload and traceback."""
    row = await db.fetchrow(FIND_DEAD_JOB, dead_job_id)
    return _load(row) if row else None


# What a group says of itself is read for the page's groups only, from the one buried last.
LIST_GROUPS = """
WITH groups AS (
    SELECT fingerprint, count(*)::int AS count, min(died_at) AS first_died_at, max(died_at) AS last_died_at
    FROM dead_jobs WHERE status = 'dead' GROUP BY fingerprint ORDER BY count(*) DESC, fingerprint LIMIT $1
)
SELECT groups.fingerprint, function, kind, code, error_class, message, count, first_died_at, last_died_at
FROM groups CROSS JOIN LATERAL (
    SELECT function, kind, code, error_class, message FROM dead_jobs
    WHERE status = 'dead' AND fingerprint = groups.fingerprint ORDER BY id DESC LIMIT 1
) AS latest
ORDER BY count DESC, fingerprint
"""


async def list_groups(db: Executor, limit: int) -> list[Group]:
    """What nobody has dealt with, by fault: the most frequent first."""
    return [Group(**row) for row in await db.fetch(LIST_GROUPS, limit)]


COUNT_GROUPS = """
SELECT count(DISTINCT fingerprint)::int FROM dead_jobs WHERE status = 'dead'
"""


async def count_groups(db: Executor) -> int:
    return int(await db.fetchval(COUNT_GROUPS))


# Of jobs on a queue the arguments are wanted too: they are offered again.
OPEN_PAGE = f"""
SELECT {_SHOWN}, CASE WHEN job_id IS NOT NULL THEN payload END AS payload
FROM dead_jobs LEFT JOIN runs ON runs.id = run_id
WHERE dead_jobs.status = 'dead' AND ($1::uuid[] IS NULL OR dead_jobs.id = ANY($1))
  AND ($2::text IS NULL OR fingerprint = $2) AND ($3::uuid IS NULL OR dead_jobs.id > $3)
ORDER BY dead_jobs.id LIMIT $4
"""  # noqa: S608  a constant list of columns


async def open_page(db: Executor, selection: Selection, after: UUID | None, limit: int) -> list[DeadJob]:
    """What is selected and nobody has dealt with, oldest first; `after` is the last one of the page before."""
    ids = None if selection.ids is None else list(selection.ids)
    return [_load(row) for row in await db.fetch(OPEN_PAGE, ids, selection.fingerprint, after, limit)]


RESOLVE = """
WITH mine AS (
    SELECT id FROM dead_jobs WHERE id = ANY($1) AND status = 'dead' ORDER BY id FOR NO KEY UPDATE
)
UPDATE dead_jobs SET status = $2, resolved_at = now(), resolved_by = $3 FROM mine WHERE dead_jobs.id = mine.id
RETURNING dead_jobs.id
"""


async def resolve(db: Executor, ids: Sequence[UUID], status: DeadJobStatus, who: str) -> set[UUID]:
    """Marks those that are still dead, and returns which these were: of two at once, one gets each."""
    return {row["id"] for row in await db.fetch(RESOLVE, list(ids), status, who)}


RESOLVE_ROADMAP = """
UPDATE dead_jobs SET status = 'retried', resolved_at = now(), resolved_by = $2
FROM runs WHERE runs.roadmap_id = $1 AND run_id = runs.id AND dead_jobs.status = 'dead' AND job_id IS NULL
"""


async def resolve_roadmap(tx: Executor, roadmap_id: UUID, who: str) -> None:
    """For the transaction that takes up again all that a roadmap lacks."""
    await tx.execute(RESOLVE_ROADMAP, roadmap_id, who)


FORGET_RESOLVED = """
DELETE FROM dead_jobs WHERE resolved_at < now() - make_interval(days => $1)
"""


async def forget_resolved(db: Executor, days: int) -> None:
    """Removes what was dealt with so many days ago. What is dead stays until then."""
    await db.execute(FORGET_RESOLVED, days)


def _load(row: Row) -> DeadJob:
    fields = dict(row)
    return DeadJob(status=DeadJobStatus(fields.pop("status")), **fields)
