"""A run that makes what is missing, and only that: what is ready stays, and nothing is paid for twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from roadmap.content import store as content
from roadmap.database import Executor
from roadmap.dead_jobs import store as dead_jobs
from roadmap.errors import Conflict, NotFound
from roadmap.events import store as events
from roadmap.events.hub import announce
from roadmap.events.model import EventType, Notice, RunMoved
from roadmap.execution_log.model import JSON, Category
from roadmap.execution_log.store import add_entry
from roadmap.ids import Prefix, new_id, show_id
from roadmap.queue.client import Queue
from roadmap.queue.model import Job
from roadmap.runs import service, store
from roadmap.runs.dispatch import QUEUE, draft_job, write_jobs
from roadmap.runs.model import ACTIVE, RunStatus
from roadmap.runs.store import Latest, NewBudget

__all__ = ["Begun", "begin", "complete_roadmap", "draft_again", "enqueue", "open_run", "write_pieces"]

TRIES = 3


@dataclass(frozen=True, slots=True)
class Begun:
    """What has to be enqueued, and told to listeners, after the commit."""

    roadmap_id: UUID
    run_id: UUID
    jobs: Sequence[Job]


async def complete_roadmap(
    tx: Executor,
    user_id: UUID,
    roadmap_id: UUID,
    budget: NewBudget | None,
    most_active: int = 0,
    who: str | None = None,
) -> Begun:
    """For its owner: a run for all that is missing, a plan or content. For a transaction; `enqueue` follows its commit.
    `who` asks for it when it is not the owner.

    Raises NotFound, Conflict while a run is active or when nothing is missing, and TooMany when the owner has
    `most_active` active runs already (0: any number).
    """
    latest = await store.find_latest(tx, roadmap_id)
    if latest is None or latest.user_id != user_id:
        raise NotFound("no such roadmap")
    if latest.status in ACTIVE:
        raise _busy(latest.run_id)
    await service.check_active(tx, user_id, most_active)
    who = who or show_id(Prefix.USER, user_id)
    if latest.planned:
        return await _write_missing(tx, latest, who, budget)
    await dead_jobs.resolve_roadmap(tx, roadmap_id, who)
    return await draft_again(tx, latest, who, budget)


async def enqueue(queue: Queue, begun: Begun) -> None:
    """A lost enqueue is found by the sweeper."""
    await queue.offer(QUEUE, begun.jobs)
    await announce(queue, begun.roadmap_id)


async def _write_missing(tx: Executor, latest: Latest, who: str, budget: NewBudget | None) -> Begun:
    """Lock order: content, run, roadmap."""
    pieces = await content.lock_missing(tx, latest.roadmap_id)
    if not pieces:
        raise Conflict("nothing is missing: every piece of content is ready")
    await dead_jobs.resolve_roadmap(tx, latest.roadmap_id, who)
    run_id = new_id()
    if not await store.start_completion(tx, run_id, latest.roadmap_id, RunStatus.WRITING):
        raise await _overtaken(tx, latest.roadmap_id)
    begun = await write_pieces(tx, latest, run_id, pieces)
    await begin(tx, begun, RunStatus.WRITING, who, budget)
    return begun


async def draft_again(tx: Executor, latest: Latest, who: str, budget: NewBudget | None = None) -> Begun:
    """A run that goes on where the latest one's draft ended. Raises Conflict while a run is active."""
    run_id = new_id()
    if not await store.start_completion(tx, run_id, latest.roadmap_id, RunStatus.QUEUED):
        raise await _overtaken(tx, latest.roadmap_id)
    if latest.error_code != "plan_rejected":  # else the same steps would end in the same rejection
        await store.copy_steps(tx, latest.run_id, run_id)
    behind = await store.count_outstanding(tx, latest.user_id)
    begun = Begun(latest.roadmap_id, run_id, [draft_job(run_id, 0, behind)])
    await begin(tx, begun, RunStatus.QUEUED, who, budget)
    return begun


async def open_run(tx: Executor, roadmap_id: UUID) -> tuple[UUID, bool]:
    """A run that writes, locked, and whether it was started here. Raises Conflict while a plan is being drafted."""
    for _ in range(TRIES):  # each time another run ends, or begins, between two statements
        active = await store.lock_active(tx, roadmap_id)
        if active is not None and active[1] is not RunStatus.WRITING:
            raise Conflict("a run of its roadmap has no plan yet: try again later")
        if active is not None:
            return active[0], False
        run_id = new_id()
        if await store.start_completion(tx, run_id, roadmap_id, RunStatus.WRITING):
            return run_id, True
    raise Conflict("runs of its roadmap begin and end just now: try again")


async def write_pieces(tx: Executor, latest: Latest, run_id: UUID, pieces: Sequence[tuple[UUID, str]]) -> Begun:
    """Gives the pieces, locked before the run, to the run."""
    behind = await store.count_outstanding(tx, latest.user_id)
    concepts = await content.reopen_pieces(tx, latest.roadmap_id, run_id, pieces)
    return Begun(latest.roadmap_id, run_id, write_jobs(run_id, concepts, behind))


async def begin(tx: Executor, begun: Begun, status: RunStatus, who: str, budget: NewBudget | None = None) -> None:
    """Makes the run the roadmap's latest and tells of it; the last statements of its transaction."""
    details: dict[str, JSON] = {"jobs": len(begun.jobs), "asked_by": who}
    await add_entry(tx, begun.run_id, Category.RUN, "what is missing is asked for again", details)
    await store.make_latest(tx, begun.roadmap_id, begun.run_id, budget)
    moved = RunMoved(run_id=show_id(Prefix.RUN, begun.run_id), status=status)
    event = EventType.RUN_QUEUED if status is RunStatus.QUEUED else EventType.RUN_STARTED
    await events.append(tx, begun.roadmap_id, [Notice(event, moved)])


async def _overtaken(tx: Executor, roadmap_id: UUID) -> Conflict:
    """By another run, which began while this transaction looked elsewhere."""
    active = await store.lock_active(tx, roadmap_id)
    return _busy(active[0]) if active else Conflict("another run has just ended: try again")


def _busy(run_id: UUID) -> Conflict:
    shown = show_id(Prefix.RUN, run_id)
    return Conflict(f"{shown} is at work on this roadmap: wait for its end, or cancel it (/v1/runs/{shown}/cancel)")
