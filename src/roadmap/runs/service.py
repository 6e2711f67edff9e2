"""What happens to a run from outside its jobs: it is started, canceled, failed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from roadmap.content import store as content
from roadmap.database import Database, Executor
from roadmap.errors import NotFound, Unusable
from roadmap.events import store as events
from roadmap.events.hub import announce
from roadmap.events.model import EventType, Notice, RunMoved
from roadmap.execution_log.model import Category, Level
from roadmap.ids import Prefix, new_id, show_id
from roadmap.queue.client import Queue
from roadmap.roadmaps.model import Wishes
from roadmap.runs import store
from roadmap.runs.dispatch import QUEUE, draft_job
from roadmap.runs.leases import CANCELED
from roadmap.runs.model import ACTIVE, END_EVENTS, DraftClaim, Run, RunStatus
from roadmap.runs.persist import persist
from roadmap.runs.store import Ending, NewRun
from roadmap.runs.tools import Tools

__all__ = ["Started", "announce_cancellation", "cancel_run", "enqueue_draft", "fail_run", "insert_roadmap"]


@dataclass(frozen=True, slots=True)
class Started:
    """A roadmap that was accepted. `behind`: the learner's other active runs."""

    roadmap_id: UUID
    run_id: UUID
    created_at: datetime
    behind: int


async def insert_roadmap(db: Executor, user_id: UUID, wishes: Wishes) -> Started:
    """One statement (promise P1). `enqueue_draft` follows the commit; a lost enqueue is found by the sweeper."""
    run_id = new_id()
    queued = RunMoved(run_id=show_id(Prefix.RUN, run_id), status=RunStatus.QUEUED)
    event = queued.model_dump(exclude_none=True)
    new = NewRun(run_id, new_id(), user_id, EventType.RUN_QUEUED, event)
    row = await store.create_run(db, new, wishes)
    return Started(new.roadmap_id, run_id, row["created_at"], row["behind"])


async def enqueue_draft(queue: Queue, run_id: UUID, behind: int) -> None:
    await queue.offer(QUEUE, [draft_job(run_id, 0, behind)])


async def cancel_run(tx: Executor, user_id: UUID, run_id: UUID) -> Run:
    """Cancels an active run; what is ready stays. A run that has ended is returned as it is. Raises NotFound.

    For a transaction; `announce_cancellation` follows its commit.
    """
    run = await _see(tx, user_id, run_id)
    await content.release_run(tx, run_id)  # lock order: content, run, roadmap
    if await store.lock_run(tx, run_id) in ACTIVE:
        await _end(tx, run.roadmap_id, run_id, Ending(RunStatus.CANCELED))
    return await _see(tx, user_id, run_id)


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
    """Ends a run whose plan cannot be had. Raises Superseded when the claim is lost."""
    tools.recorder.note(Category.RUN, "run failed", level=Level.ERROR, code=error.code, reason=str(error))
    ending = Ending(RunStatus.FAILED, error.code, str(error), report)
    await persist(lambda: _end_draft(tools.db, claim, ending))
    await announce(tools.queue, claim.roadmap_id)
    await tools.recorder.flush()


async def _end_draft(db: Database, claim: DraftClaim, ending: Ending) -> None:
    async with db.transaction() as tx:
        await store.lock_draft(tx, claim)
        await _end(tx, claim.roadmap_id, claim.run_id, ending)


async def _end(tx: Executor, roadmap_id: UUID, run_id: UUID, ending: Ending) -> None:
    await store.end_run(tx, run_id, ending)
    moved = RunMoved(run_id=show_id(Prefix.RUN, run_id), status=ending.status, code=ending.code, message=ending.message)
    await events.append(tx, roadmap_id, [Notice(END_EVENTS[ending.status], moved)])
