"""What operators do about dead jobs: try them again, or discard them. Doing it twice changes nothing."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from roadmap.content import store as content
from roadmap.database import Database, Executor
from roadmap.dead_jobs import store as dead_jobs
from roadmap.dead_jobs.model import DeadJob, DeadJobStatus, Selection
from roadmap.errors import Conflict
from roadmap.execution_log.model import JSON, Category
from roadmap.execution_log.store import add_entry
from roadmap.queue.client import Queue
from roadmap.queue.model import Job
from roadmap.runs import store
from roadmap.runs.complete import Begun, begin, draft_again, enqueue, open_run, write_pieces
from roadmap.runs.dispatch import ARGUMENTS
from roadmap.runs.model import RunStatus
from roadmap.runs.store import Latest

__all__ = ["Outcome", "Skipped", "discard_dead_jobs", "retry_dead_jobs"]

log = structlog.get_logger()

AT_ONCE = 200
WITHIN = 10.0  # seconds: a request must end
MOST_SKIPPED = 100  # of which is told why
RESOLVED = "it is not dead, or not failed, any more"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A dead job that stays dead, and why."""

    id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many were dealt with, and which not. `more`: the time was up; ask again for the rest."""

    done: int = 0
    left: int = 0
    skipped: tuple[Skipped, ...] = ()
    more: bool = False

    def __add__(self, other: "Outcome") -> "Outcome":
        told = (self.skipped + other.skipped)[:MOST_SKIPPED]
        return Outcome(self.done + other.done, self.left + other.left, told, self.more or other.more)


Work = Callable[[Sequence[DeadJob]], Awaitable[Outcome]]
Taken = tuple[set[UUID], Begun | None]


async def retry_dead_jobs(db: Database, queue: Queue, selection: Selection, who: str) -> Outcome:
    """Takes the selected work up again: all of one roadmap in one run, a job of a queue under its own id.

    Raises Outage when PostgreSQL is away; what was done until then stays done.
    """

    async def work(page: Sequence[DeadJob]) -> Outcome:
        outcome = Outcome()
        for roadmap_id, dead in _by_roadmap(page).items():
            outcome += await _retry_roadmap(db, queue, roadmap_id, dead, who)
        for job in page:
            if job.job_id is not None:
                outcome += await _offer_again(db, queue, job, who)
        return outcome

    return await _page_by_page(db, selection, work)


async def discard_dead_jobs(db: Database, selection: Selection, who: str) -> Outcome:
    """Marks the selected dead jobs as dealt with, and changes nothing else."""

    async def work(page: Sequence[DeadJob]) -> Outcome:
        done = await dead_jobs.resolve(db, [dead.id for dead in page], DeadJobStatus.DISCARDED, who)
        return Outcome(len(done)) + _leave([dead.id for dead in page if dead.id not in done], RESOLVED)

    return await _page_by_page(db, selection, work)


async def _page_by_page(db: Database, selection: Selection, work: Work) -> Outcome:
    outcome, after, seen = Outcome(), None, set[UUID]()
    deadline = time.monotonic() + WITHIN
    while page := await dead_jobs.open_page(db, selection, after, AT_ONCE):
        outcome += await work(page)
        after = page[-1].id
        seen.update(dead.id for dead in page)
        if time.monotonic() > deadline:
            return outcome + Outcome(more=True)
    return outcome + _leave([dead_job_id for dead_job_id in selection.ids or () if dead_job_id not in seen], RESOLVED)


def _by_roadmap(page: Sequence[DeadJob]) -> dict[UUID, list[DeadJob]]:
    """The work that rows gave up. Each of them has a run, and by it a roadmap."""
    found: dict[UUID, list[DeadJob]] = {}
    for dead in page:
        if dead.job_id is None and dead.roadmap_id is not None:
            found.setdefault(dead.roadmap_id, []).append(dead)
    return found


async def _retry_roadmap(db: Database, queue: Queue, roadmap_id: UUID, dead: Sequence[DeadJob], who: str) -> Outcome:
    ids = [one.id for one in dead]
    try:
        async with db.transaction() as tx:
            taken, begun = await _take_up(tx, roadmap_id, dead, who)
    except Conflict as exc:
        return _leave(ids, str(exc))
    if begun is not None:
        await enqueue(queue, begun)
    return Outcome(len(taken)) + _leave([one for one in ids if one not in taken], RESOLVED)


async def _take_up(tx: Executor, roadmap_id: UUID, dead: Sequence[DeadJob], who: str) -> Taken:
    """Raises Conflict when that cannot be done now, or ever."""
    latest = await store.find_latest(tx, roadmap_id)
    if latest is None:
        raise Conflict("its roadmap was deleted: discard it")
    return await (_write_again if latest.planned else _draft_again)(tx, latest, dead, who)


async def _write_again(tx: Executor, latest: Latest, dead: Sequence[DeadJob], who: str) -> Taken:
    """The failed pieces, in the run that writes or in one of their own. Lock order: content, run, roadmap."""
    of = {(one.concept_id, one.kind): one.id for one in dead if one.concept_id is not None and one.kind is not None}
    failed = await content.lock_failed(tx, latest.roadmap_id, list(of))
    taken = await dead_jobs.resolve(tx, [of[piece] for piece in failed], DeadJobStatus.RETRIED, who)
    if not taken:
        return taken, None
    run_id, started = await open_run(tx, latest.roadmap_id)
    begun = await write_pieces(tx, latest, run_id, [piece for piece in failed if of[piece] in taken])
    if started:
        await begin(tx, begun, RunStatus.WRITING, who)
    else:
        details: dict[str, JSON] = {"pieces": len(taken), "asked_by": who}
        await add_entry(tx, run_id, Category.QUEUE, "dead jobs are tried again", details)
    return taken, begun


async def _draft_again(tx: Executor, latest: Latest, dead: Sequence[DeadJob], who: str) -> Taken:
    taken = await dead_jobs.resolve(tx, [one.id for one in dead], DeadJobStatus.RETRIED, who)
    return taken, await draft_again(tx, latest, who) if taken else None


async def _offer_again(db: Database, queue: Queue, dead: DeadJob, who: str) -> Outcome:
    """Offered before it is marked: the job may run twice, it must not get lost."""
    refusal = _refusal(dead)
    if refusal is None and not await queue.offer(dead.queue, [_job(dead)]):
        refusal = "Redis is away: try again later"
    if refusal is not None:
        return _leave([dead.id], refusal)
    taken = await dead_jobs.resolve(db, [dead.id], DeadJobStatus.RETRIED, who)
    log.info("dead_job_offered_again", dead_job=dead.id.hex, queue=dead.queue, job_id=dead.job_id, asked_by=who)
    return Outcome(1) if taken else _leave([dead.id], RESOLVED)


def _refusal(dead: DeadJob) -> str | None:
    """Why a job cannot be offered to its queue; None: it can."""
    known = ARGUMENTS.get((dead.queue, dead.function or ""))
    if dead.payload is None:
        return "its arguments could not be read: discard it"
    if known is None:
        return "no worker knows its function: discard it"
    arguments = dead.payload["args"]
    if len(arguments) != known or "kwargs" in dead.payload or not all(isinstance(one, str) for one in arguments):
        return "its arguments do not fit its function: discard it"
    return None


def _job(dead: DeadJob) -> Job:
    assert dead.function is not None  # noqa: S101  `_refusal` was asked
    assert dead.job_id is not None  # noqa: S101
    assert dead.payload is not None  # noqa: S101
    return Job(dead.function, dead.job_id, tuple(dead.payload["args"]))


def _leave(ids: Sequence[UUID], reason: str) -> Outcome:
    return Outcome(left=len(ids), skipped=tuple(Skipped(one, reason) for one in ids[:MOST_SKIPPED]))
