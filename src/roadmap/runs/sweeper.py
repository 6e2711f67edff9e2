"""Brings back whatever is overdue: a lost enqueue, a dead worker's claim, a retry. Needs no lock and no Redis to know.

The rows are the outbox. Open work has a `due_at`: some seconds after its enqueue, the end of its lease once claimed,
the time of its retry. A claim that ran out is fenced here, so that its late writer is refused.
"""

from contextlib import AbstractAsyncContextManager

import structlog

from roadmap.chores import repeat
from roadmap.database import Database
from roadmap.queue.client import Queue
from roadmap.queue.model import Job
from roadmap.runs.dispatch import QUEUE, draft_job, write_jobs

__all__ = ["open_sweeper", "sweep"]

log = structlog.get_logger()

EVERY = 2.0
AT_ONCE = 500
ROUNDS = 20

SWEEP_RUNS = """
WITH overdue AS (
    SELECT id FROM runs WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE runs SET
    claim = claim + (claimed_by IS NOT NULL)::int, crashes = crashes + (claimed_by IS NOT NULL)::int,
    claimed_by = NULL, due_at = now() + interval '10 seconds'
FROM overdue WHERE runs.id = overdue.id AND runs.status IN ('queued', 'drafting')
RETURNING runs.id, claim
"""

SWEEP_CONTENT = """
WITH overdue AS (
    SELECT roadmap_id, concept_id, kind FROM content WHERE due_at <= now()
    ORDER BY due_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
), swept AS (
    UPDATE content SET
        claim = claim + (claimed_by IS NOT NULL)::int, crashes = crashes + (claimed_by IS NOT NULL)::int,
        status = 'pending', claimed_by = NULL, due_at = now() + interval '10 seconds'
    FROM overdue
    WHERE content.roadmap_id = overdue.roadmap_id AND content.concept_id = overdue.concept_id
      AND content.kind = overdue.kind AND content.status IN ('pending', 'writing')
    RETURNING content.run_id, content.concept_id, content.claim
)
SELECT run_id, concept_id, max(claim) AS claim FROM swept GROUP BY run_id, concept_id
"""


async def sweep(db: Database, queue: Queue) -> int:
    """One round: takes what is overdue, commits, and enqueues it. Returns the number of jobs offered."""
    runs = await db.fetch(SWEEP_RUNS, AT_ONCE)
    pieces = await db.fetch(SWEEP_CONTENT, AT_ONCE)
    jobs: list[Job] = [draft_job(row["id"], row["claim"], 0) for row in runs]
    for row in pieces:
        jobs += write_jobs(row["run_id"], [(row["concept_id"], row["claim"])], 0)
    if jobs:
        offered = await queue.offer(QUEUE, jobs)
        log.info("swept", drafts=len(runs), concepts=len(pieces), offered=offered)
    return len(jobs)


def open_sweeper(db: Database, queue: Queue, *, every: float = EVERY) -> AbstractAsyncContextManager[None]:
    """Sweeps every `every` seconds while the block runs. Any number of processes may do so at once."""
    return repeat(lambda: _sweep_all(db, queue), every)


async def _sweep_all(db: Database, queue: Queue) -> None:
    for _ in range(ROUNDS):
        if await sweep(db, queue) < AT_ONCE:
            return
