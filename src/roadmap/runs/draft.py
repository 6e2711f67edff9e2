"""The job `draft`: the durable steps up to a plan, which ends in one transaction and a fan-out of concept jobs."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import structlog

from roadmap.content import store as content
from roadmap.drafting.service import Plan, PlanRejected, draft_plan
from roadmap.errors import Outage, Superseded, Unusable
from roadmap.events import store as events
from roadmap.events.hub import announce
from roadmap.events.model import EventType, Notice, PlanReady, RunMoved
from roadmap.execution_log.model import Category, Level
from roadmap.execution_log.recorder import scope
from roadmap.ids import Prefix, parse_id, show_id
from roadmap.roadmaps import store as roadmaps
from roadmap.runs import store
from roadmap.runs.dispatch import QUEUE, write_jobs
from roadmap.runs.leases import Hold
from roadmap.runs.model import DraftClaim, RunStatus
from roadmap.runs.persist import persist
from roadmap.runs.service import fail_run
from roadmap.runs.steps import Steps
from roadmap.runs.tools import Tools

__all__ = ["draft"]

log = structlog.get_logger()

MOST_FAILURES = 2
MOST_CRASHES = 3
ANY = 1_000_000
RETRY_IN = 1.0
TIMEOUT = 1_800.0


async def draft(tools: Tools, run_id: UUID) -> None:
    """Claims the run and drafts its plan. Run twice, the second finds the run taken or planned and does nothing.

    Raises CancelledError alone: what else ends the job early is left to the sweeper.
    """
    with scope(run_id=run_id):
        try:
            await _draft_open_run(tools, run_id)
        except (Superseded, Outage) as exc:
            log.info("draft_ended_early", reason=str(exc))


async def _draft_open_run(tools: Tools, run_id: UUID) -> None:
    """What was there when two workers died is drafted alone: should it kill the next one, that is not blamed on its
    neighbours."""
    if not await _claim_and_draft(tools, run_id, MOST_CRASHES - 1):
        async with tools.leases.alone:
            await _claim_and_draft(tools, run_id, ANY)


async def _claim_and_draft(tools: Tools, run_id: UUID, crashes: int) -> bool:
    """Whether the run was there to be drafted and saw fewer `crashes`."""
    claim = await _claim(tools, run_id, crashes)
    if claim is not None:
        await _hold_and_draft(tools, claim)
    return claim is not None


async def _claim(tools: Tools, run_id: UUID, crashes: int) -> DraftClaim | None:
    async with tools.db.transaction() as tx:
        claim = await store.claim_draft(tx, run_id, tools.leases.worker, tools.leases.lease, crashes)
        if claim is not None and claim.claim == 1:
            started = RunMoved(run_id=show_id(Prefix.RUN, run_id), status=RunStatus.DRAFTING)
            await events.append(tx, claim.roadmap_id, [Notice(EventType.RUN_STARTED, started)])
    if claim is not None:
        await announce(tools.queue, claim.roadmap_id)
        tools.recorder.note(Category.RUN, "drafting started", claim=claim.claim, crashes=claim.crashes)
    return claim


async def _hold_and_draft(tools: Tools, claim: DraftClaim) -> None:
    hold = Hold(claim.run_id, _current(), draft=claim.claim)
    try:
        with tools.leases.hold(hold):
            await _draft(tools, claim, hold)
    except asyncio.CancelledError:
        with suppress(Outage):  # then the lease runs out
            await asyncio.shield(_defer(tools, claim, 0))
        raise


async def _draft(tools: Tools, claim: DraftClaim, hold: Hold) -> None:
    """One try, and what becomes of the run when it fails: the job's border."""
    if claim.crashes >= MOST_CRASHES:
        await fail_run(tools, claim, Unusable("worker_died", f"{claim.crashes} workers died while they drafted this"))
        return
    try:
        async with asyncio.timeout(TIMEOUT):
            steps = await Steps.resume(tools, claim)
            plan = await draft_plan(steps, claim.wishes, claim.created_at.date())
            await _commit(tools, claim, plan, hold)
    except Superseded:
        raise
    except Outage as exc:
        tools.recorder.note(Category.RUN, "drafting waits", level=Level.WARNING, reason=str(exc), retry_in=exc.retry_in)
        await _wait(tools, claim, exc.retry_in)
    except PlanRejected as exc:
        await fail_run(tools, claim, exc, exc.report.dump())
    except Unusable as exc:
        await _retry_or_fail(tools, claim, exc)
    except TimeoutError:
        await _retry_or_fail(tools, claim, Unusable("timeout", f"not done within {TIMEOUT:.0f} s"))
    except Exception as exc:
        log.exception("draft_failed")
        await _retry_or_fail(tools, claim, _hide(exc))


async def _retry_or_fail(tools: Tools, claim: DraftClaim, error: Unusable) -> None:
    tools.recorder.note(Category.RUN, "drafting failed", level=Level.ERROR, code=error.code, reason=str(error))
    if claim.failures + 1 >= MOST_FAILURES:
        await fail_run(tools, claim, error)
    else:
        await persist(lambda: _defer(tools, claim, RETRY_IN, failed=True))


async def _wait(tools: Tools, claim: DraftClaim, retry_in: float) -> None:
    """Lets the run go until the provider may be back; costs it no try and this worker no slot."""
    await persist(lambda: _defer(tools, claim, retry_in))


async def _defer(tools: Tools, claim: DraftClaim, retry_in: float, *, failed: bool = False) -> None:
    await store.defer_draft(tools.db, claim, retry_in, failed=failed)


async def _commit(tools: Tools, claim: DraftClaim, plan: Plan, hold: Hold) -> None:
    """The plan, its open pieces, the run's move and the event, all or nothing; then the fan-out."""
    concept_ids = [parse_id(Prefix.CONCEPT, concept.id) for concept in plan.structure.concepts()]
    behind = await store.count_outstanding(tools.db, claim.user_id)
    hold.let_go()
    version = await persist(lambda: _save(tools, claim, plan, concept_ids))
    tools.recorder.note(Category.RUN, "plan ready", concepts=len(concept_ids), score=plan.report.score, version=version)
    await _fan_out(tools, claim, concept_ids, behind)


async def _save(tools: Tools, claim: DraftClaim, plan: Plan, concept_ids: Sequence[UUID]) -> int:
    async with tools.db.transaction() as tx:
        # First the move: it is what refuses a claim that was lost, or a commit whose answer was.
        await store.start_writing(tx, claim)
        await content.create_pieces(tx, claim.roadmap_id, claim.run_id, concept_ids, claim.wishes.kinds)
        report = {"rules": plan.report.dump(), "critique": plan.critique, "level": plan.level}
        version = await roadmaps.add_version(tx, claim.roadmap_id, plan.structure, report)
        await events.append(tx, claim.roadmap_id, [Notice(EventType.PLAN_READY, _tell(claim, plan, version))])
    return version


async def _fan_out(tools: Tools, claim: DraftClaim, concept_ids: Sequence[UUID], behind: int) -> None:
    await tools.queue.offer(QUEUE, write_jobs(claim.run_id, ((concept_id, 0) for concept_id in concept_ids), behind))
    await announce(tools.queue, claim.roadmap_id)


def _tell(claim: DraftClaim, plan: Plan, version: int) -> PlanReady:
    return PlanReady(
        run_id=show_id(Prefix.RUN, claim.run_id),
        version=version,
        concepts=len(plan.structure.concepts()),
        minutes=plan.structure.minutes(),
        title=plan.structure.title,
    )


def _hide(exc: Exception) -> Unusable:
    """A bug's public face; its traceback is in diagnostics."""
    return Unusable("internal", f"an internal error ({type(exc).__name__})")


def _current() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  a coroutine that runs has a task
    return task
