"""What operators do, from the API, the pages and the command line alike; each writes what was done to the audit log."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from roadmap.audit import store as audit
from roadmap.audit.model import Action, Actor, Entry
from roadmap.database import Database
from roadmap.dead_jobs.model import Selection
from roadmap.errors import NotFound
from roadmap.execution_log.model import Category
from roadmap.execution_log.store import add_entry
from roadmap.heartbeat import Process
from roadmap.ids import Prefix, show_id
from roadmap.monitor.store import queues, roadmaps, runs
from roadmap.queue.client import Queue
from roadmap.runs import complete, retry, service
from roadmap.runs.model import Run
from roadmap.runs.retry import Outcome

__all__ = ["cancel_run", "complete_roadmap", "discard_dead_jobs", "pause_queue", "resume_queue", "retry_dead_jobs"]

MOST_TOLD = 20  # ids in one entry


async def retry_dead_jobs(db: Database, queue: Queue, selection: Selection, actor: Actor) -> Outcome:
    """Takes them up again. Raises Outage."""
    entry = Entry(actor, Action.DEAD_JOBS_RETRIED, _subject(selection), _details(selection))
    return await _noted(db, entry, lambda: retry.retry_dead_jobs(db, queue, selection, actor.mark))


async def discard_dead_jobs(db: Database, selection: Selection, actor: Actor) -> Outcome:
    """Marks them as dealt with, and changes nothing else. Raises Outage."""
    entry = Entry(actor, Action.DEAD_JOBS_DISCARDED, _subject(selection), _details(selection))
    return await _noted(db, entry, lambda: retry.discard_dead_jobs(db, selection, actor.mark))


async def pause_queue(db: Database, name: Process, actor: Actor) -> bool:
    """Its workers take no more jobs; they hear of it with their next heartbeat, within five seconds. What they hold
    goes on, and new work is accepted and waits. False: it was paused already. Raises Outage."""
    async with db.transaction() as tx:
        changed = await queues.insert_pause(tx, name, actor.name)
        if changed:
            await audit.insert(tx, Entry(actor, Action.QUEUE_PAUSED, name))
    return changed


async def resume_queue(db: Database, name: Process, actor: Actor) -> bool:
    """As `pause_queue`. False: it was not paused."""
    async with db.transaction() as tx:
        changed = await queues.remove_pause(tx, name)
        if changed:
            await audit.insert(tx, Entry(actor, Action.QUEUE_RESUMED, name))
    return changed


async def cancel_run(db: Database, queue: Queue, run_id: UUID, actor: Actor) -> Run:
    """Whoever's it is; what is ready stays. One that has ended is returned as it is. Raises NotFound, Outage."""
    async with db.transaction() as tx:
        owner = await runs.find_owner_of_run(tx, run_id)
        if owner is None:
            raise NotFound("no such run")
        run, ended = await service.cancel_run(tx, owner, run_id)
        if ended:
            await add_entry(tx, run_id, Category.RUN, "canceled by an operator", {"asked_by": actor.mark})
            await audit.insert(tx, Entry(actor, Action.RUN_CANCELED, show_id(Prefix.RUN, run_id)))
    await service.announce_cancellation(queue, run.roadmap_id, run_id)
    return run


async def complete_roadmap(db: Database, queue: Queue, roadmap_id: UUID, actor: Actor) -> UUID:
    """A run for all that it lacks, whoever's it is; returns its id. Limits of learners do not hold an operator back;
    its budget does. Raises NotFound, Conflict while a run is active or when nothing is missing, Outage."""
    async with db.transaction() as tx:
        owner = await roadmaps.find_owner_of_roadmap(tx, roadmap_id)
        if owner is None:
            raise NotFound("no such roadmap")
        begun = await complete.complete_roadmap(tx, owner, roadmap_id, None, who=actor.mark)
        details = {"run": show_id(Prefix.RUN, begun.run_id)}
        await audit.insert(tx, Entry(actor, Action.ROADMAP_COMPLETED, show_id(Prefix.ROADMAP, roadmap_id), details))
    await complete.enqueue(queue, begun)
    return begun.run_id


async def _noted(db: Database, entry: Entry, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Before the many transactions that it tells of: whatever cuts them short, somebody has done what is done. It stays
    when there was nothing to do."""
    entry_id = await audit.insert(db, replace(entry, details={"unfinished": True, **entry.details}))
    outcome = await work()
    await audit.amend(db, entry_id, {"done": outcome.done, "left": outcome.left, **entry.details})
    return outcome


def _details(selection: Selection) -> dict[str, Any]:
    if selection.ids is None or len(selection.ids) == 1:
        return {}
    return {"ids": [show_id(Prefix.DEAD_JOB, one) for one in selection.ids[:MOST_TOLD]]}


def _subject(selection: Selection) -> str:
    if selection.ids is None:
        return f"group {selection.fingerprint}" if selection.fingerprint else "all dead jobs"
    if len(selection.ids) == 1:
        return show_id(Prefix.DEAD_JOB, selection.ids[0])
    return f"{len(selection.ids)} dead jobs"
