"""The job `draft`: the durable steps up to a plan, which ends in one transaction and a fan-out of concept jobs."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import structlog

from roadmap.content import store as content
from roadmap.drafting.service import Plan, PlanRejected, draft_plan
from roadmap.errors import NotYet, Outage, Superseded, TimedOut, Unusable
from roadmap.events import store as events
from roadmap.events.hub import announce
from roadmap.events.model import EventType, Notice, PlanReady, RunMoved
from roadmap.execution_log.model import Category, Level
from roadmap.execution_log.recorder import scope
from roadmap.ids import Prefix, parse_id, show_id
from roadmap.queue.observer import Outcome
from roadmap.roadmaps import store as roadmaps
from roadmap.roadmaps.model import Kind, Wishes
from roadmap.runs import policy, store
from roadmap.runs.dispatch import QUEUE, write_jobs
from roadmap.runs.leases import Hold
from roadmap.runs.model import DraftClaim, RunStatus
from roadmap.runs.persist import persist
from roadmap.runs.service import fail_run
from roadmap.runs.steps import Steps
from roadmap.runs.tools import Tools

__all__ = ["draft"]

log = structlog.get_logger()


async def draft(tools: Tools, run_id: UUID) -> Outcome:
    """Claims the run and drafts its plan. Run twice, the second finds the run taken or planned and does nothing.

    It has failed when the run did. Raises CancelledError alone: what else ends the job early is left to the sweeper.
    """
    with scope(run_id=run_id), suppress(Superseded, Outage):
        outcome = await _claim_and_draft(tools, run_id, policy.SUSPECT)
        return outcome or await _draft_suspect(tools, run_id)
    return Outcome.RETURNED


async def _draft_suspect(tools: Tools, run_id: UUID) -> Outcome:
    async with tools.suspects.turn() as alone:
        if alone:
            return await _claim_and_draft(tools, run_id, policy.ANY) or Outcome.SUCCEEDED
    return Outcome.RETURNED


async def _claim_and_draft(tools: Tools, run_id: UUID, crashes: int) -> Outcome | None:
    """How it went; None when the run was not there to be drafted, or saw as many `crashes`."""
    claim = await persist(lambda: _claim(tools, run_id, crashes))
    return None if claim is None else await _hold_and_draft(tools, claim)


async def _claim(tools: Tools, run_id: UUID, crashes: int) -> DraftClaim | None:
    async with tools.db.transaction() as tx:
        claim = await store.claim_draft(tx, run_id, tools.leases.worker, tools.leases.lease, crashes)
        if claim is not None and claim.claim == 1:
            started = RunMoved(run_id=show_id(Prefix.RUN, run_id), status=RunStatus.DRAFTING)
            await events.append(tx, claim.roadmap_id, [Notice(EventType.RUN_STARTED, started)])
    return claim


async def _hold_and_draft(tools: Tools, claim: DraftClaim) -> Outcome:
    hold = Hold(claim.run_id, draft=claim.claim)
    try:
        with tools.leases.hold(hold):
            await announce(tools.queue, claim.roadmap_id)
            tools.recorder.note(Category.RUN, "drafting started", claim=claim.claim, crashes=claim.crashes)
            return await _draft(tools, claim, hold)
    except Superseded as exc:
        tools.recorder.note(Category.RUN, "drafting stopped", reason=str(exc))
        return Outcome.RETURNED
    except asyncio.CancelledError:
        with suppress(Outage):  # then the lease runs out
            await asyncio.shield(_defer(tools, claim, 0))
        raise


async def _draft(tools: Tools, claim: DraftClaim, hold: Hold) -> Outcome:
    """One try, and what becomes of the run when it fails: the job's border."""
    if claim.crashes >= policy.MOST_CRASHES:
        hold.let_go()
        await fail_run(tools, claim, policy.worker_died(claim.crashes))
        return Outcome.FAILED
    try:
        async with asyncio.timeout(policy.TIMEOUT):
            wishes = Wishes.load(claim.goal, claim.preferences)
            plan = await draft_plan(await Steps.resume(tools, claim), wishes, claim.created_at.date())
            hold.let_go()
            await _commit(tools, claim, plan, wishes.kinds)
            return Outcome.SUCCEEDED
    except Superseded:
        raise
    except Outage as exc:
        hold.let_go()
        return await _wait(tools, claim, exc)
    except PlanRejected as exc:
        hold.let_go()
        await fail_run(tools, claim, exc, exc.report.dump())
        return Outcome.FAILED
    except Unusable as exc:
        hold.let_go()
        return await _retry_or_fail(tools, claim, exc)
    except Exception as exc:
        log.exception("draft_failed")
        hold.let_go()
        return await _retry_or_fail(tools, claim, policy.internal(exc))


async def _retry_or_fail(tools: Tools, claim: DraftClaim, error: Unusable) -> Outcome:
    tools.recorder.note(Category.RUN, "drafting failed", level=Level.ERROR, code=error.code, reason=str(error))
    if policy.is_last_try(claim.failures, error):
        await fail_run(tools, claim, error)
        return Outcome.FAILED
    await persist(lambda: _defer(tools, claim, policy.RETRY_IN, failed=True))
    return Outcome.RETURNED


async def _wait(tools: Tools, claim: DraftClaim, outage: Outage) -> Outcome:
    """Lets the run go until the provider may be back; costs this worker no slot, and a try only when it timed out."""
    retry_in, timed_out = outage.retry_in, isinstance(outage, TimedOut)
    if isinstance(outage, NotYet):
        log.debug("draft_waits", reason=str(outage), retry_in=retry_in)
    else:
        tools.recorder.note(Category.RUN, "drafting waits", level=Level.WARNING, reason=str(outage), retry_in=retry_in)
    end = policy.too_late(claim.created_at, outage)
    if isinstance(outage, TimedOut) and policy.is_last_try(claim.failures, outage):
        end = policy.over(outage)
    if end is not None:
        await fail_run(tools, claim, end)
        return Outcome.FAILED
    await persist(lambda: _defer(tools, claim, retry_in, failed=timed_out))
    return Outcome.RETURNED


async def _defer(tools: Tools, claim: DraftClaim, retry_in: float, *, failed: bool = False) -> None:
    await store.defer_draft(tools.db, claim, retry_in, failed=failed)


async def _commit(tools: Tools, claim: DraftClaim, plan: Plan, kinds: Sequence[Kind]) -> None:
    """The plan, its open pieces, the run's move and the event, all or nothing; then the fan-out."""
    concept_ids = [parse_id(Prefix.CONCEPT, concept.id) for concept in plan.structure.concepts()]
    behind = await persist(lambda: store.count_outstanding(tools.db, claim.user_id))
    version = await persist(lambda: _save(tools, claim, plan, concept_ids, kinds))
    tools.recorder.note(Category.RUN, "plan ready", concepts=len(concept_ids), score=plan.report.score, version=version)
    await tools.queue.offer(
        QUEUE, write_jobs(claim.run_id, ((concept_id, "new") for concept_id in concept_ids), behind)
    )
    await announce(tools.queue, claim.roadmap_id)


async def _save(tools: Tools, claim: DraftClaim, plan: Plan, concept_ids: Sequence[UUID], kinds: Sequence[Kind]) -> int:
    report = {"rules": plan.report.dump(), "critique": plan.critique, "level": plan.level}
    async with tools.db.transaction() as tx:
        # First the move: it is what refuses a claim that was lost, or a commit whose answer was.
        await store.start_writing(tx, claim)
        await content.create_pieces(tx, claim.roadmap_id, claim.run_id, concept_ids, kinds)
        version = await roadmaps.add_version(tx, claim.roadmap_id, plan.structure, report)
        await events.append(tx, claim.roadmap_id, [Notice(EventType.PLAN_READY, _tell(claim, plan, version))])
    return version


def _tell(claim: DraftClaim, plan: Plan, version: int) -> PlanReady:
    return PlanReady(
        run_id=show_id(Prefix.RUN, claim.run_id),
        version=version,
        concepts=len(plan.structure.concepts()),
        minutes=plan.structure.minutes(),
        title=plan.structure.title,
    )
