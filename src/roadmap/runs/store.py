"""Runs in PostgreSQL: created, claimed, moved and read."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from roadmap.database import Executor, Row
from roadmap.errors import Superseded
from roadmap.roadmaps.model import Wishes
from roadmap.runs.model import DraftClaim, Run, RunKind, RunStatus

__all__ = [
    "Ending",
    "NewRun",
    "claim_draft",
    "count_outstanding",
    "create_run",
    "defer_draft",
    "end_if_done",
    "end_run",
    "find_run",
    "list_runs",
    "lock_draft",
    "lock_run",
    "start_writing",
    "steps_of",
]

# One statement: the roadmap, its first run and its first event exist together or not at all. It answers with the
# learner's active runs, which are the new job's place in line.
CREATE_RUN = """
WITH roadmap AS (
    INSERT INTO roadmaps (id, user_id, goal, preferences, latest_run_id, event_seq)
    VALUES ($1, $3, $4, $5, $2, 1) RETURNING id
), run AS (
    INSERT INTO runs (id, roadmap_id, user_id, kind) SELECT $2, id, $3, 'create' FROM roadmap
    RETURNING created_at
), event AS (
    INSERT INTO events (roadmap_id, seq, type, payload) SELECT id, 1, $6, $7 FROM roadmap
)
SELECT run.created_at, (
    SELECT count(*) FROM runs WHERE user_id = $3 AND status IN ('queued', 'drafting', 'writing')
) AS behind FROM run
"""


@dataclass(frozen=True, slots=True)
class NewRun:
    """The ids and the first event of a run that is about to be created."""

    run_id: UUID
    roadmap_id: UUID
    user_id: UUID
    event_type: str
    event: dict[str, Any]


async def create_run(db: Executor, new: NewRun, wishes: Wishes) -> Row:
    """Creates roadmap, run and event; returns `created_at` and `behind`, the learner's other active runs."""
    row = await db.fetchrow(
        CREATE_RUN,
        new.roadmap_id,
        new.run_id,
        new.user_id,
        wishes.goal,
        wishes.preferences(),
        new.event_type,
        new.event,
    )
    assert row is not None  # noqa: S101  an INSERT … RETURNING of one row
    return row


# The lock first: an UPDATE that waits for one has computed its values before, and with them the lease's end.
CLAIM_DRAFT = """
WITH free AS (
    SELECT runs.id, goal, preferences FROM runs JOIN roadmaps ON roadmaps.id = runs.roadmap_id
    WHERE runs.id = $1 AND runs.status IN ('queued', 'drafting')
      AND (claimed_by IS NULL OR due_at <= clock_timestamp())
      AND (not_before IS NULL OR not_before <= clock_timestamp())
      AND crashes + (claimed_by IS NOT NULL)::int < $4
    FOR NO KEY UPDATE OF runs
)
UPDATE runs SET
    status = 'drafting', claim = claim + 1, claimed_by = $2, due_at = clock_timestamp() + make_interval(secs => $3),
    not_before = NULL, crashes = crashes + (claimed_by IS NOT NULL)::int, started_at = coalesce(started_at, now())
FROM free WHERE runs.id = free.id
RETURNING runs.id AS run_id, runs.roadmap_id, runs.user_id, claim, failures, crashes, runs.created_at, goal, preferences
"""


async def claim_draft(tx: Executor, run_id: UUID, worker: str, lease: float, crashes: int) -> DraftClaim | None:
    """Takes the run for this worker, `lease` seconds by the database's clock. None: it is taken, planned or ended, its
    time has not come, or it saw as many `crashes`."""
    row = await tx.fetchrow(CLAIM_DRAFT, run_id, worker, lease, crashes)
    return DraftClaim(**row) if row else None


DEFER_DRAFT = """
UPDATE runs SET claimed_by = NULL, failures = failures + $4,
    due_at = now() + make_interval(secs => $3), not_before = now() + make_interval(secs => $3)
WHERE id = $1 AND claim = $2 AND status = 'drafting' AND claimed_by IS NOT NULL
"""


async def defer_draft(db: Executor, claim: DraftClaim, retry_in: float, *, failed: bool) -> None:
    """Lets the run go; the sweeper brings it back in `retry_in` seconds. `failed` costs one of its tries."""
    await db.execute(DEFER_DRAFT, claim.run_id, claim.claim, retry_in, int(failed))


START_WRITING = """
UPDATE runs SET status = 'writing', planned_at = now(), claimed_by = NULL, due_at = NULL
WHERE id = $1 AND claim = $2 AND status = 'drafting' RETURNING id
"""


async def start_writing(tx: Executor, claim: DraftClaim) -> None:
    """Moves the run on. Raises Superseded when the claim is no longer ours."""
    if await tx.fetchval(START_WRITING, claim.run_id, claim.claim) is None:
        raise Superseded("the run was taken over or ended")


# NO KEY: a new body's foreign key holds a share of the run's key already, in every transaction that comes here; to ask
# for the key itself would be a deadlock of two pieces.
LOCK_RUN = """
SELECT status FROM runs WHERE id = $1 FOR NO KEY UPDATE
"""


async def lock_run(tx: Executor, run_id: UUID) -> RunStatus:
    """Locks the run until the commit and returns its status. Lock order: content, run, roadmap."""
    return RunStatus(await tx.fetchval(LOCK_RUN, run_id))


END_IF_DONE = """
UPDATE runs SET finished_at = now(), status = CASE WHEN EXISTS (
    SELECT FROM content WHERE run_id = $1 AND status = 'failed'
) THEN 'incomplete' ELSE 'succeeded' END
WHERE id = $1 AND status = 'writing'
  AND NOT EXISTS (SELECT FROM content WHERE run_id = $1 AND status IN ('pending', 'writing'))
RETURNING status
"""


async def end_if_done(tx: Executor, run_id: UUID) -> RunStatus | None:
    """Ends the run when no piece of its own is open. The run must be locked by this transaction already: only then
    does this statement see what the other pieces have committed."""
    status = await tx.fetchval(END_IF_DONE, run_id)
    return None if status is None else RunStatus(status)


END_RUN = """
UPDATE runs SET status = $2, finished_at = now(), claimed_by = NULL, due_at = NULL, claim = claim + 1,
    error_code = $3, error_message = $4, report = $5
WHERE id = $1 AND status IN ('queued', 'drafting', 'writing')
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends that does not end by itself. `message` is public."""

    status: RunStatus
    code: str | None = None
    message: str | None = None
    report: dict[str, Any] | None = None


async def end_run(tx: Executor, run_id: UUID, ending: Ending) -> None:
    """Ends an active run and fences whoever works on it."""
    await tx.execute(END_RUN, run_id, ending.status, ending.code, ending.message, ending.report)


LOCK_DRAFT = """
SELECT FROM runs WHERE id = $1 AND claim = $2 AND status = 'drafting' FOR NO KEY UPDATE
"""


async def lock_draft(tx: Executor, claim: DraftClaim) -> None:
    """Locks the run for its drafter. Raises Superseded when the claim is no longer ours."""
    if await tx.fetchrow(LOCK_DRAFT, claim.run_id, claim.claim) is None:
        raise Superseded("the run was taken over or ended")


COUNT_OUTSTANDING = """
SELECT count(DISTINCT (content.run_id, concept_id)) FROM runs JOIN content ON content.run_id = runs.id
WHERE runs.user_id = $1 AND runs.status = 'writing' AND content.status IN ('pending', 'writing')
"""


async def count_outstanding(db: Executor, user_id: UUID) -> int:
    """Concepts that this learner still waits for."""
    return int(await db.fetchval(COUNT_OUTSTANDING, user_id))


_RUN = """id, roadmap_id, kind, status, failures, crashes, error_code, error_message, report,
    created_at, started_at, planned_at, finished_at"""

FIND_RUN = f"""
SELECT {_RUN} FROM runs WHERE id = $1 AND user_id = $2
"""  # noqa: S608  a constant list of columns


async def find_run(db: Executor, user_id: UUID, run_id: UUID) -> Run | None:
    row = await db.fetchrow(FIND_RUN, run_id, user_id)
    return _load(row) if row else None


LIST_RUNS = f"""
SELECT {_RUN} FROM runs
WHERE user_id = $1 AND roadmap_id = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4
"""  # noqa: S608  a constant list of columns


async def list_runs(db: Executor, user_id: UUID, roadmap_id: UUID, after: UUID | None, limit: int) -> list[Run]:
    """Newest first; `after` is the last run of the page before."""
    return [_load(row) for row in await db.fetch(LIST_RUNS, user_id, roadmap_id, after, limit)]


STEPS_OF = """
SELECT key, duration_ms, created_at FROM run_steps WHERE run_id = $1 ORDER BY created_at, key
"""


async def steps_of(db: Executor, run_id: UUID) -> list[Row]:
    return await db.fetch(STEPS_OF, run_id)


def _load(row: Row) -> Run:
    fields = dict(row)
    return Run(kind=RunKind(fields.pop("kind")), status=RunStatus(fields.pop("status")), **fields)
