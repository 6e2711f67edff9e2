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
    "Latest",
    "NewBudget",
    "NewRun",
    "claim_draft",
    "copy_steps",
    "count_active",
    "count_outstanding",
    "create_run",
    "defer_draft",
    "end_if_done",
    "end_run",
    "find_latest",
    "find_run",
    "list_runs",
    "lock_active",
    "lock_draft",
    "lock_run",
    "make_latest",
    "start_completion",
    "start_writing",
    "steps_of",
]

# One statement: the roadmap, its first run and its first event exist together or not at all. It answers with the
# learner's active runs, which are the new job's place in line; with nothing when they are as many as they may be.
# (Requests that come at the same moment do not see each other: they may be a few more.)
CREATE_RUN = """
WITH active AS (
    SELECT count(*) AS runs FROM runs WHERE user_id = $3 AND status IN ('queued', 'drafting', 'writing')
), roadmap AS (
    INSERT INTO roadmaps (id, user_id, goal, preferences, latest_run_id, event_seq, max_cost_micros)
    SELECT $1, $3, $4, $5, $2, 1, $8 FROM active WHERE $9::int = 0 OR active.runs < $9 RETURNING id
), run AS (
    INSERT INTO runs (id, roadmap_id, user_id, kind) SELECT $2, id, $3, 'create' FROM roadmap
    RETURNING created_at
), event AS (
    INSERT INTO events (roadmap_id, seq, type, payload) SELECT id, 1, $6, $7 FROM roadmap
)
SELECT run.created_at, active.runs AS behind FROM run, active
"""


@dataclass(frozen=True, slots=True)
class NewRun:
    """The ids, the first event and the budget of a run that is about to be created. `most_active`: as many runs of this
    learner may be active, 0: any number."""

    run_id: UUID
    roadmap_id: UUID
    user_id: UUID
    event_type: str
    event: dict[str, Any]
    max_cost_micros: int | None = None
    most_active: int = 0


async def create_run(db: Executor, new: NewRun, wishes: Wishes) -> Row | None:
    """Creates roadmap, run and event; returns `created_at` and `behind`, the learner's other active runs. None: there
    are too many of these."""
    return await db.fetchrow(
        CREATE_RUN,
        new.roadmap_id,
        new.run_id,
        new.user_id,
        wishes.goal,
        wishes.preferences(),
        new.event_type,
        new.event,
        new.max_cost_micros,
        new.most_active,
    )


# The lock first: an UPDATE that waits for one has computed its values before, and with them the lease's end.
CLAIM_DRAFT = """
WITH free AS (
    SELECT runs.id, goal, preferences, max_cost_micros FROM runs JOIN roadmaps ON roadmaps.id = runs.roadmap_id
    WHERE runs.id = $1 AND runs.status IN ('queued', 'drafting')
      AND (claimed_by IS NULL OR due_at <= clock_timestamp())
      AND (not_before IS NULL OR not_before <= clock_timestamp())
      AND crashes + (claimed_by IS NOT NULL)::int < $4
    FOR NO KEY UPDATE OF runs
)
UPDATE runs SET
    status = 'drafting', claim = claim + 1, claimed_by = $2, due_at = clock_timestamp() + make_interval(secs => $3),
    not_before = NULL, crashes = crashes + (claimed_by IS NOT NULL)::int, started_at = coalesce(started_at, now()),
    claimed_at = clock_timestamp()
FROM free WHERE runs.id = free.id
RETURNING runs.id AS run_id, runs.roadmap_id, runs.user_id, claim, failures, crashes, runs.created_at, goal,
    preferences, max_cost_micros
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
WITH missing AS (
    SELECT count(*) AS pieces, max(error_code) FILTER (WHERE error_code = 'budget_exceeded') AS code,
           max(error_message) FILTER (WHERE error_code = 'budget_exceeded') AS message
    FROM content WHERE roadmap_id = (SELECT roadmap_id FROM runs WHERE id = $1) AND status <> 'ready'
)
UPDATE runs SET finished_at = now(), status = CASE WHEN missing.pieces > 0 THEN 'incomplete' ELSE 'succeeded' END,
    error_code = missing.code, error_message = missing.message
FROM missing
WHERE id = $1 AND status = 'writing'
  AND NOT EXISTS (SELECT FROM content WHERE run_id = $1 AND status IN ('pending', 'writing'))
RETURNING status, error_code AS code, error_message AS message
"""


async def end_if_done(tx: Executor, run_id: UUID) -> "Ending | None":
    """Ends the run when no piece of its own is open: `incomplete` when its roadmap lacks any, also one that this run
    was not for; says so on the run when the budget was the reason. The run must be locked by this transaction already:
    only then does this statement see what the other pieces have committed."""
    row = await tx.fetchrow(END_IF_DONE, run_id)
    return Ending(RunStatus(row["status"]), row["code"], row["message"]) if row else None


END_RUN = """
UPDATE runs SET status = $2, finished_at = now(), claimed_by = NULL, due_at = NULL, claim = claim + 1,
    error_code = $3, error_message = $4, report = $5
WHERE id = $1 AND status IN ('queued', 'drafting', 'writing')
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends. `message` is public."""

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


COUNT_ACTIVE = """
SELECT count(*) FROM runs WHERE user_id = $1 AND status IN ('queued', 'drafting', 'writing')
"""


async def count_active(db: Executor, user_id: UUID) -> int:
    """This learner's active runs."""
    return int(await db.fetchval(COUNT_ACTIVE, user_id))


FIND_LATEST = """
SELECT roadmaps.id AS roadmap_id, roadmaps.user_id, runs.id AS run_id, runs.status, runs.error_code,
       current_version IS NOT NULL AS planned
FROM roadmaps JOIN runs ON runs.id = latest_run_id WHERE roadmaps.id = $1 AND deleted_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Latest:
    """A roadmap's latest run, and whether there is a plan."""

    roadmap_id: UUID
    user_id: UUID
    run_id: UUID
    status: RunStatus
    error_code: str | None
    planned: bool


async def find_latest(db: Executor, roadmap_id: UUID) -> Latest | None:
    """None: there is no such roadmap, or it was deleted."""
    row = await db.fetchrow(FIND_LATEST, roadmap_id)
    if row is None:
        return None
    fields = dict(row)
    return Latest(status=RunStatus(fields.pop("status")), **fields)


LOCK_ACTIVE = """
SELECT id, status FROM runs WHERE roadmap_id = $1 AND status IN ('queued', 'drafting', 'writing') FOR NO KEY UPDATE
"""


async def lock_active(tx: Executor, roadmap_id: UUID) -> tuple[UUID, RunStatus] | None:
    """Locks the roadmap's active run until the commit; None when there is none just now."""
    row = await tx.fetchrow(LOCK_ACTIVE, roadmap_id)
    return (row["id"], RunStatus(row["status"])) if row else None


# Of two at once the second waits here for the first one's commit, and gets nothing.
START_COMPLETION = """
INSERT INTO runs (id, roadmap_id, user_id, kind, status, due_at, started_at, planned_at)
SELECT $1, id, user_id, 'complete', $3::text, CASE WHEN $3 = 'queued' THEN now() + interval '10 seconds' END,
       CASE WHEN $3 = 'writing' THEN now() END, CASE WHEN $3 = 'writing' THEN now() END
FROM roadmaps WHERE id = $2
ON CONFLICT (roadmap_id) WHERE status IN ('queued', 'drafting', 'writing') DO NOTHING RETURNING id
"""


async def start_completion(tx: Executor, run_id: UUID, roadmap_id: UUID, status: RunStatus) -> bool:
    """A run of kind `complete`, `queued` for a plan or `writing` for content. False: another run is active."""
    return await tx.fetchval(START_COMPLETION, run_id, roadmap_id, status) is not None


COPY_STEPS = """
INSERT INTO run_steps (run_id, key, output, duration_ms, created_at)
SELECT $2, key, output, duration_ms, created_at FROM run_steps WHERE run_id = $1
"""


async def copy_steps(tx: Executor, old: UUID, new: UUID) -> None:
    """What one run has committed, another need not pay for again."""
    await tx.execute(COPY_STEPS, old, new)


MAKE_LATEST = """
UPDATE roadmaps SET latest_run_id = $2, max_cost_micros = CASE WHEN $3 THEN $4 ELSE max_cost_micros END WHERE id = $1
"""


@dataclass(frozen=True, slots=True)
class NewBudget:
    """What a roadmap's model calls may cost from now on. None: no limit."""

    max_cost_micros: int | None


async def make_latest(tx: Executor, roadmap_id: UUID, run_id: UUID, budget: NewBudget | None) -> None:
    """Without a new budget the old one stays."""
    micros = budget.max_cost_micros if budget else None
    await tx.execute(MAKE_LATEST, roadmap_id, run_id, budget is not None, micros)


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
