"""Brings back whatever is overdue: a lost enqueue, a dead worker's claim, a retry. Needs no lock and no Redis to know.

The rows are the outbox. Open work has a `due_at`: some seconds after its enqueue, the end of its lease once claimed,
the time of its retry. A claim that ran out is fenced here, so that its late writer is refused.
"""

import time
from contextlib import AbstractAsyncContextManager
from datetime import datetime

import structlog

from roadmap.chores import repeat
from roadmap.database import Database
from roadmap.errors import Outage
from roadmap.queue.client import Queue
from roadmap.queue.model import Job
from roadmap.runs.dispatch import DRAFT_PLACES, QUEUE, draft_job, write_jobs

__all__ = ["Sweeper", "open_sweeper"]

log = structlog.get_logger()

EVERY = 2.0
AT_ONCE = 500
ROUNDS = 20

# Whatever is overdue now is taken, and no more. A look that waits at a locked table keeps the time at which it began: a
# lease that ran out meanwhile could not be extended, and whoever holds it waits at the same table.
LOOK = """
SELECT now() AS at, EXISTS (SELECT FROM runs WHERE due_at <= now() AND (claimed_by IS NULL OR $1))
    OR EXISTS (SELECT FROM content WHERE due_at <= now() AND (claimed_by IS NULL OR $1)) AS overdue
"""

# What comes back stands in its learner's line, too: an emptied Redis must not turn the many first come, first served.
SWEEP_RUNS = """
WITH overdue AS (
    SELECT id FROM runs WHERE due_at <= $3 AND (claimed_by IS NULL OR $2)
    ORDER BY due_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
), swept AS (
    UPDATE runs SET
        claim = claim + (claimed_by IS NOT NULL)::int, crashes = crashes + (claimed_by IS NOT NULL)::int,
        claimed_by = NULL,
        due_at = now() + CASE WHEN claimed_by IS NULL THEN interval '20 seconds' ELSE interval '10 seconds' END
    FROM overdue WHERE runs.id = overdue.id AND runs.status IN ('queued', 'drafting')
    RETURNING runs.id, claim, user_id
)
SELECT id, claim, row_number() OVER (PARTITION BY user_id ORDER BY id)::int - 1 AS behind FROM swept
"""

# A piece whose run ended while its plan was committed is open and not wanted: it leaves the outbox here.
SWEEP_CONTENT = """
WITH overdue AS (
    SELECT roadmap_id, concept_id, kind FROM content WHERE due_at <= $3 AND (claimed_by IS NULL OR $2)
    ORDER BY due_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
), swept AS (
    UPDATE content SET
        claim = claim + (claimed_by IS NOT NULL)::int, crashes = crashes + (claimed_by IS NOT NULL)::int,
        status = 'pending', claimed_by = NULL,
        due_at = CASE WHEN EXISTS (SELECT FROM runs WHERE runs.id = content.run_id AND runs.status = 'writing')
                 THEN now() + CASE WHEN claimed_by IS NULL THEN interval '20 seconds' ELSE interval '10 seconds' END
            END
    FROM overdue
    WHERE content.roadmap_id = overdue.roadmap_id AND content.concept_id = overdue.concept_id
      AND content.kind = overdue.kind AND content.status IN ('pending', 'writing')
    RETURNING content.run_id, content.concept_id, content.kind, content.claim, content.due_at
)
SELECT run_id, concept_id, string_agg(left(swept.kind, 1) || swept.claim, '' ORDER BY swept.kind) AS claims,
       count(*)::int AS pieces, row_number() OVER (PARTITION BY user_id ORDER BY run_id, concept_id)::int - 1 AS behind
FROM swept JOIN runs ON runs.id = run_id WHERE swept.due_at IS NOT NULL GROUP BY user_id, run_id, concept_id
"""


class Sweeper:
    """One process's look at what is overdue. `lease` in seconds, as the workers have it.

    An outage of PostgreSQL ends every lease, and nobody has died: the living get half a lease to extend theirs before
    a claim that ran out counts as a crash.
    """

    def __init__(self, db: Database, queue: Queue, lease: float) -> None:
        self._db = db
        self._queue = queue
        self._patience = lease / 2
        self._well_since: float | None = None

    async def sweep(self) -> None:
        """Takes what is overdue, commits, and enqueues it, in rounds of bounded size. Raises Outage.

        Nothing is taken while Redis is away: it stays overdue, and is enqueued when Redis is back. Redis is not asked
        for nothing: some hosts bill each command.
        """
        try:
            claims = self._may_take_claims()
            look = await self._db.fetchrow(LOOK, claims)
            if not (look and look["overdue"] and await self._queue.ping()):
                return
            for _ in range(ROUNDS):
                if await self._sweep(claims, look["at"]) < AT_ONCE:
                    return
        except Outage:
            self._well_since = None
            raise

    def _may_take_claims(self) -> bool:
        now = time.monotonic()
        if self._well_since is None:
            self._well_since = now
        return now - self._well_since >= self._patience

    async def _sweep(self, claims: bool, at: datetime) -> int:
        """The number of rows that were overdue then."""
        runs = await self._db.fetch(SWEEP_RUNS, AT_ONCE, claims, at)
        pieces = await self._db.fetch(SWEEP_CONTENT, AT_ONCE, claims, at)
        jobs: list[Job] = [draft_job(row["id"], row["claim"], row["behind"] * DRAFT_PLACES) for row in runs]
        for row in pieces:
            jobs += write_jobs(row["run_id"], [(row["concept_id"], row["claims"])], row["behind"])
        if jobs:
            offered = await self._queue.offer(QUEUE, jobs)
            log.info("swept", drafts=len(runs), concepts=len(pieces), offered=offered)
        return max(len(runs), sum(int(row["pieces"]) for row in pieces))


def open_sweeper(db: Database, queue: Queue, lease: float) -> AbstractAsyncContextManager[None]:
    """Sweeps every two seconds while the block runs. Any number of processes may do so at once."""
    return repeat(Sweeper(db, queue, lease).sweep, EVERY)
