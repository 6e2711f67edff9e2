"""What happens to a run from outside its jobs: it is started, canceled, failed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from roadmap.content import store as content
from roadmap.database import Executor
from roadmap.errors import BacklogFull, NotFound, TooMany, Unusable
from roadmap.events import store as events
from roadmap.events.hub import announce
from roadmap.events.model import EventType, Notice, RunMoved
from roadmap.execution_log.model import Category, Level
from roadmap.ids import Prefix, new_id, show_id
from roadmap.llm.budget import spent_today
from roadmap.queue.client import Queue
from roadmap.roadmaps.model import Wishes
from roadmap.runs import store
from roadmap.runs.deaths import bury_draft
from roadmap.runs.dispatch import DRAFT_PLACES, QUEUE, draft_job
from roadmap.runs.leases import CANCELED
from roadmap.runs.model import ACTIVE, END_EVENTS, DraftClaim, Run, RunStatus
from roadmap.runs.persist import persist
from roadmap.runs.store import Ending, NewRun
from roadmap.runs.tools import Tools

__all__ = [
    "Started",
    "announce_cancellation",
    "cancel_run",
    "check_active",
    "check_backlog",
    "check_day",
    "enqueue_draft",
    "fail_run",
    "insert_roadmap",
]

# Seconds.
BACKLOG_RETRY = 30.0


@dataclass(frozen=True, slots=True)
class Started:
    """A roadmap that was accepted. `behind`: the learner's other active runs."""

    roadmap_id: UUID
    run_id: UUID
    created_at: datetime
    behind: int


async def check_backlog(queue: Queue, limit: int) -> BacklogFull | None:
    """What to refuse new work with when so many jobs wait for the content workers (0: any number). While Redis is away
    nobody knows, and work is accepted (promise P2)."""
    if not limit or (await queue.recent_depth(QUEUE) or 0) < limit:
        return None
    return BacklogFull("too much work is waiting already", retry_in=BACKLOG_RETRY)


async def check_day(tx: Executor, user_id: UUID, limit: int) -> None:
    """Raises TooMany when this learner's calls of today have cost the limit (0: none): a run would end before its first
    one. One statement, and none without a limit."""
    if not limit:
        return
    spent = (await spent_today(tx, user_id)).spent
    if spent >= limit:
        now = datetime.now(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        detail = f"your budget for a day (UTC) is spent: {spent} of {limit} micro-dollars"
        raise TooMany(detail, retry_in=(midnight - now).total_seconds())


async def insert_roadmap(
    db: Executor, user_id: UUID, wishes: Wishes, max_cost_micros: int | None = None, most_active: int = 0
) -> Started:
    """One statement (promise P1). `enqueue_draft` follows the commit; a lost enqueue is found by the sweeper.

    Raises TooMany when the learner has `most_active` active runs already (0: any number).
    """
    run_id = new_id()
    queued = RunMoved(run_id=show_id(Prefix.RUN, run_id), status=RunStatus.QUEUED)
    event = queued.model_dump(exclude_none=True)
    new = NewRun(run_id, new_id(), user_id, EventType.RUN_QUEUED, event, max_cost_micros, most_active)
    row = await store.create_run(db, new, wishes)
    if row is None:
        raise _too_many(most_active)
    return Started(new.roadmap_id, run_id, row["created_at"], row["behind"])


async def check_active(tx: Executor, user_id: UUID, most: int) -> None:
    """Raises TooMany when the learner has as many active runs (0: any number). One statement, and none without a
    limit."""
    if most and await store.count_active(tx, user_id) >= most:
        raise _too_many(most)


def _too_many(active: int) -> TooMany:
    return TooMany(f"{active} of your runs are active; wait until some of them end", retry_in=BACKLOG_RETRY)


async def enqueue_draft(queue: Queue, run_id: UUID, behind: int) -> None:
    """`behind`: the learner's other active runs."""
    await queue.offer(QUEUE, [draft_job(run_id, 0, behind * DRAFT_PLACES)])


async def cancel_run(tx: Executor, user_id: UUID, run_id: UUID) -> tuple[Run, bool]:
    """Cancels an active run; what is ready stays. A run that has ended is returned as it is. True: this ended it.
    Raises NotFound.

    For a transaction; `announce_cancellation` follows its commit.
    """
    run = await _see(tx, user_id, run_id)
    await content.release_run(tx, run_id)  # lock order: content, run, roadmap
    is_active = await store.lock_run(tx, run_id) in ACTIVE
    if is_active:
        await _end(tx, run.roadmap_id, run_id, Ending(RunStatus.CANCELED))
    return await _see(tx, user_id, run_id), is_active


async def announce_cancellation(queue: Queue, roadmap_id: UUID, run_id: UUID) -> None:
    """Stops the run's jobs wherever they are, and wakes the listeners. Losing it costs a few seconds."""
    await queue.notify(CANCELED, run_id.hex)
    await announce(queue, roadmap_id)


async def _see(db: Executor, user_id: UUID, run_id: UUID) -> Run:
    run = await store.find_run(db, user_id, run_id)
    if run is None:
        raise NotFound("no such run")
    return run


async def fail_run(tools: Tools, claim: DraftClaim, error: Unusable, report: dict[str, Any] | None = None) -> None:
    """Ends a run whose plan cannot be had, and keeps it as a dead job. Raises Superseded when the claim is lost."""
    tools.recorder.note(Category.RUN, "run failed", level=Level.ERROR, code=error.code, reason=str(error))
    ending = Ending(RunStatus.FAILED, error.code, str(error), report)
    await persist(lambda: _end_draft(tools, claim, ending, error))
    await announce(tools.queue, claim.roadmap_id)
    await tools.recorder.flush()


async def _end_draft(tools: Tools, claim: DraftClaim, ending: Ending, error: Unusable) -> None:
    async with tools.db.transaction() as tx:
        await store.lock_draft(tx, claim)
        await bury_draft(tx, tools.redactor, claim, error)
        await _end(tx, claim.roadmap_id, claim.run_id, ending)


async def _end(tx: Executor, roadmap_id: UUID, run_id: UUID, ending: Ending) -> None:
    await store.end_run(tx, run_id, ending)
    moved = RunMoved(run_id=show_id(Prefix.RUN, run_id), status=ending.status, code=ending.code, message=ending.message)
    await events.append(tx, roadmap_id, [Notice(END_EVENTS[ending.status], moved)])
