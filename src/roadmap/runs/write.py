"""The job `write_concept`: every open piece of one concept, each committed the moment it is ready.

The quiz is about the tutorial and waits for it; the resources are found beside them. Each piece stands alone: what
fails, fails by itself.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from roadmap.content import store as content
from roadmap.content.model import Assignment
from roadmap.content.quiz import write_quiz
from roadmap.content.resources import find_resources
from roadmap.content.store import Piece
from roadmap.content.tutorial import write_tutorial
from roadmap.errors import NotYet, Outage, Superseded, Unusable
from roadmap.execution_log.model import Category, Level
from roadmap.execution_log.recorder import scope
from roadmap.ids import Prefix, show_id
from roadmap.llm.ask import Llm
from roadmap.llm.budget import Budget
from roadmap.llm.ledger import RunLedger, settle, settle_on_the_way_out
from roadmap.queue.observer import Outcome
from roadmap.roadmaps import store as roadmaps
from roadmap.roadmaps.model import Concept, Kind, Structure
from roadmap.runs import policy
from roadmap.runs.leases import Hold
from roadmap.runs.persist import persist
from roadmap.runs.settle import deliver, fail, give_up, hand_back, wait
from roadmap.runs.tools import Tools

__all__ = ["write_concept"]

log = structlog.get_logger()

NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class _Work:
    """What this job has claimed, and what it is written from."""

    hold: Hold
    pieces: dict[Kind, Piece]
    assignment: Assignment


async def write_concept(tools: Tools, run_id: UUID, concept_id: UUID) -> Outcome:
    """Claims and writes the open pieces of a concept. Run twice, the second finds them taken or done.

    It has failed when one of them failed for good. Raises CancelledError alone: what else ends the job early is left to
    the sweeper.
    """
    with scope(run_id=run_id, concept_id=concept_id), suppress(Superseded, Outage):
        outcome = await _claim_and_write(tools, run_id, concept_id, policy.SUSPECT)
        return outcome or await _write_suspects(tools, run_id, concept_id)
    return Outcome.RETURNED


async def _write_suspects(tools: Tools, run_id: UUID, concept_id: UUID) -> Outcome:
    async with tools.suspects.turn() as alone:
        if alone:
            return await _claim_and_write(tools, run_id, concept_id, policy.ANY) or Outcome.SUCCEEDED
    return Outcome.RETURNED


async def _claim_and_write(tools: Tools, run_id: UUID, concept_id: UUID, crashes: int) -> Outcome | None:
    """How it went; None when there was no piece to write that saw fewer `crashes`."""
    worker, lease = tools.leases.worker, tools.leases.lease
    pieces = await persist(lambda: content.claim_pieces(tools.db, run_id, concept_id, worker, lease, crashes))
    return await _hold_and_write(tools, pieces) if pieces else None


async def _hold_and_write(tools: Tools, pieces: Sequence[Piece]) -> Outcome:
    """The job's border, for what goes wrong with all of its pieces."""
    first = pieces[0]
    claims = {piece.kind: piece.claim for piece in pieces}
    hold = Hold(first.run_id, roadmap_id=first.roadmap_id, concept_id=first.concept_id, pieces=claims)
    if crashes := max(piece.crashes for piece in pieces):
        tools.recorder.note(
            Category.CONTENT, "taken over from a worker that died", level=Level.WARNING, crashes=crashes
        )
    try:
        with tools.leases.hold(hold):
            async with asyncio.timeout(policy.TIMEOUT):
                await _write(tools, hold, await _fail_the_dead(tools, hold, pieces))
    except (Superseded, Outage) as exc:
        tools.recorder.note(Category.CONTENT, "writing stopped", reason=str(exc))
        hold.ends(Outcome.RETURNED)
        # One piece was lost, or none could be begun: the others must not wait for their lease, nor count a crash.
        await persist(lambda: hand_back(tools, pieces))
    except asyncio.CancelledError:
        with suppress(Outage):  # then the lease runs out
            await asyncio.shield(hand_back(tools, pieces))
        raise
    except Exception as exc:
        log.exception("write_failed")
        await _give_up_open(tools, hold, pieces, policy.internal(exc))
    return hold.outcome


async def _give_up_open(tools: Tools, hold: Hold, pieces: Sequence[Piece], error: Unusable) -> None:
    for piece in [piece for piece in pieces if piece.kind in hold.pieces]:
        with suppress(Superseded):
            hold.ends(await give_up(tools, piece, error, ()))


async def _fail_the_dead(tools: Tools, hold: Hold, pieces: Sequence[Piece]) -> list[Piece]:
    """Gives up what has seen too many workers die, and returns the rest."""
    for piece in pieces:
        if piece.crashes >= policy.MOST_CRASHES:
            hold.let_go(piece.kind)
            hold.ends(await fail(tools, piece, policy.worker_died(piece.crashes)))
    return [piece for piece in pieces if piece.crashes < policy.MOST_CRASHES]


async def _write(tools: Tools, hold: Hold, pieces: Sequence[Piece]) -> None:
    if not pieces:
        return
    work = _Work(hold, {piece.kind: piece for piece in pieces}, await _assignment(tools, pieces[0]))
    async with asyncio.TaskGroup() as group:
        group.create_task(_write_tutorial_and_quiz(tools, work))
        if resources := work.pieces.get(Kind.RESOURCES):
            group.create_task(
                _piece(tools, work, resources, lambda llm: find_resources(llm, tools.links, work.assignment))
            )


async def _write_tutorial_and_quiz(tools: Tools, work: _Work) -> None:
    """The quiz comes after the tutorial, also after one that is tried again later. Without one, because it failed for
    good or was never asked for, the quiz keeps to the objectives."""
    if tutorial := work.pieces.get(Kind.TUTORIAL):
        await _piece(tools, work, tutorial, lambda llm: write_tutorial(llm, work.assignment))
    if quiz := work.pieces.get(Kind.QUIZ):
        await _piece(tools, work, quiz, lambda llm: _quiz(tools, work, quiz, llm))


async def _quiz(tools: Tools, work: _Work, quiz: Piece, llm: Llm) -> dict[str, Any]:
    """Raises NotYet while the tutorial is still to come."""
    retry_in = await content.open_for(tools.db, quiz.roadmap_id, quiz.concept_id, Kind.TUTORIAL)
    if retry_in is not None:
        raise NotYet("the tutorial is not ready", retry_in)
    tutorial = await content.body_of(tools.db, quiz.roadmap_id, quiz.concept_id, Kind.TUTORIAL)
    return await write_quiz(llm, work.assignment, tutorial["markdown"] if tutorial else "")


Write = Callable[[Llm], Awaitable[dict[str, Any]]]


async def _piece(tools: Tools, work: _Work, piece: Piece, write: Write) -> None:
    """Writes one piece and settles it, however it went. A piece that was lost is nobody else's loss; when PostgreSQL
    stays away, the claims of the whole job are no longer good."""
    try:
        await _try_piece(tools, work, piece, write)
    except Superseded as exc:
        work.hold.let_go(piece.kind)
        work.hold.ends(Outcome.RETURNED)
        log.info("piece_superseded", kind=piece.kind, reason=str(exc))
    except Outage as exc:
        work.hold.lose(str(exc))


async def _try_piece(tools: Tools, work: _Work, piece: Piece, write: Write) -> None:
    """This is the job's border: what goes wrong with this piece costs this piece alone."""
    budget = Budget(piece.max_cost_micros, tools.learner_daily_micros)
    llm = Llm(tools.provider, RunLedger(tools.db, piece.run_id, piece.claim, piece.concept_id, piece.kind, budget))
    started = time.monotonic()
    try:
        body = await write(llm)
        work.hold.let_go(piece.kind)
        duration_ms = round((time.monotonic() - started) * 1000)
        await deliver(tools, piece, {**body, **_signature(tools)}, llm.spent, duration_ms)
    except Superseded:
        await settle(tools.db, llm.spent)  # the work is lost, and was paid for
        raise
    except asyncio.CancelledError:
        await settle_on_the_way_out(tools.db, llm.spent)
        raise
    except Outage as exc:
        work.hold.let_go(piece.kind)
        work.hold.ends(await wait(tools, piece, exc, llm.spent))
    except Unusable as exc:
        work.hold.let_go(piece.kind)
        work.hold.ends(await give_up(tools, piece, exc, llm.spent))
    except Exception as exc:
        log.exception("piece_failed", kind=piece.kind)
        work.hold.let_go(piece.kind)
        work.hold.ends(await give_up(tools, piece, policy.internal(exc), llm.spent))


async def _assignment(tools: Tools, piece: Piece) -> Assignment:
    plan = await roadmaps.load_plan(tools.db, piece.roadmap_id)
    concept_id = show_id(Prefix.CONCEPT, piece.concept_id)
    before, concept, after = _split(plan.structure, concept_id)
    return Assignment(
        goal=plan.wishes.goal,
        language=plan.wishes.language,
        level=plan.level,
        concept=concept,
        before=before,
        after=after,
    )


def _split(structure: Structure, concept_id: str) -> tuple[tuple[str, ...], Concept, tuple[str, ...]]:
    """The concept between the titles of its neighbours in the order of study."""
    concepts = structure.concepts()
    place = next(place for place, concept in enumerate(concepts) if concept.id == concept_id)
    titles = [concept.title for concept in concepts]
    before, after = titles[max(0, place - NEIGHBOURS) : place], titles[place + 1 : place + 1 + NEIGHBOURS]
    return tuple(before), concepts[place], tuple(after)


def _signature(tools: Tools) -> dict[str, str]:
    return {"provider": tools.provider.name, "model": tools.provider.model}
