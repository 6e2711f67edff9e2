"""How a piece of content ends: delivered, given up, or handed back. The last one ends its run."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from roadmap.content import store as content
from roadmap.content.store import Piece
from roadmap.database import Connection
from roadmap.errors import NotYet, Outage, Superseded, TimedOut, Unusable
from roadmap.events import store as events
from roadmap.events.hub import announce
from roadmap.events.model import ContentFailed, ContentReady, EventType, Notice, RunMoved
from roadmap.execution_log.model import Category, Level
from roadmap.ids import Prefix, show_id
from roadmap.llm.ledger import settle
from roadmap.llm.model import Spent
from roadmap.queue.observer import Outcome
from roadmap.runs import policy, store
from roadmap.runs.deaths import bury_piece
from roadmap.runs.model import END_EVENTS, RunStatus
from roadmap.runs.persist import persist
from roadmap.runs.store import Ending
from roadmap.runs.tools import Tools

__all__ = ["deliver", "fail", "give_up", "hand_back", "wait"]

log = structlog.get_logger()

Settle = Callable[[Connection], Awaitable[Notice]]


async def deliver(tools: Tools, piece: Piece, body: dict[str, Any], spent: Sequence[Spent], duration_ms: int) -> None:
    """Commits a body with its ledger rows and its event. Raises Superseded when the claim is lost."""

    def tell() -> None:
        tools.recorder.note(Category.CONTENT, f"{piece.kind} ready", duration_ms=duration_ms, calls=len(spent))

    async def save(tx: Connection) -> Notice:
        version = await content.save_piece(tx, piece, body)
        ready = ContentReady(**_names(piece), version=version)
        return Notice(EventType.CONTENT_READY, ready)

    await _settle(tools, piece, spent, save, tell)


async def give_up(tools: Tools, piece: Piece, error: Unusable, spent: Sequence[Spent]) -> Outcome:
    """Counts a failure: the piece is tried again soon, or failed for good. Raises Superseded when the claim is lost."""
    if policy.is_last_try(piece.failures, error):
        return await fail(tools, piece, error, spent)
    _tell_failure(tools, piece, error, Level.WARNING)
    await persist(lambda: _defer(tools, [piece], policy.RETRY_IN, spent, failed=True))
    return Outcome.RETURNED


async def fail(tools: Tools, piece: Piece, error: Unusable, spent: Sequence[Spent] = ()) -> Outcome:
    """Fails the piece for good: it becomes a dead job, and its run goes on and ends `incomplete`."""

    async def save(tx: Connection) -> Notice:
        await content.fail_piece(tx, piece, error.code, str(error))
        await bury_piece(tx, tools.redactor, piece, error)
        return Notice(EventType.CONTENT_FAILED, ContentFailed(**_names(piece), code=error.code, message=str(error)))

    await _settle(tools, piece, spent, save, lambda: _tell_failure(tools, piece, error, Level.ERROR))
    return Outcome.FAILED


def _tell_failure(tools: Tools, piece: Piece, error: Unusable, level: Level) -> None:
    tools.recorder.note(Category.CONTENT, f"{piece.kind} failed", level=level, code=error.code, reason=str(error))


async def wait(tools: Tools, piece: Piece, outage: Outage, spent: Sequence[Spent]) -> Outcome:
    """Lets the piece go until the provider may be back: costs this worker no slot, and a try only when it timed out.

    Raises Superseded when the claim is lost.
    """
    retry_in, timed_out = outage.retry_in, isinstance(outage, TimedOut)
    end = policy.too_late(piece.planned_at, outage)
    if isinstance(outage, TimedOut) and policy.is_last_try(piece.failures, outage):
        end = policy.over(outage)
    if end is not None:
        return await fail(tools, piece, end, spent)
    if isinstance(outage, NotYet):  # may come every second or so, and tells people nothing
        log.debug("piece_waits", kind=piece.kind, reason=str(outage), retry_in=retry_in)
    else:
        reason = str(outage)
        tools.recorder.note(
            Category.CONTENT, f"{piece.kind} waits", level=Level.WARNING, reason=reason, retry_in=retry_in
        )
    await persist(lambda: _defer(tools, [piece], retry_in, spent, failed=timed_out))
    return Outcome.RETURNED


async def hand_back(tools: Tools, pieces: Sequence[Piece]) -> None:
    """Lets pieces of one concept go, because this job ends early; costs them no try. What is settled or was taken
    over stays as it is."""
    await _defer(tools, pieces, 0, (), failed=False)


async def _defer(
    tools: Tools, pieces: Sequence[Piece], retry_in: float, spent: Sequence[Spent], *, failed: bool
) -> None:
    await settle(tools.db, spent)
    await content.defer_pieces(tools.db, pieces, retry_in, failed=failed)


async def _settle(tools: Tools, piece: Piece, spent: Sequence[Spent], save: Settle, tell: Callable[[], None]) -> None:
    """Commits, and then tells: the log of a run is sent when the run ends, with what was said of its last piece."""
    ended = await persist(lambda: _try_to_commit(tools, piece, spent, save))
    tell()
    await announce(tools.queue, piece.roadmap_id)
    if ended is not None:
        _tell_end(tools, ended)
        await tools.recorder.flush()


async def _try_to_commit(tools: Tools, piece: Piece, spent: Sequence[Spent], save: Settle) -> Ending | None:
    """Whoever waits for a lock, as of a process that froze, has not died: the lease goes on until the next try."""
    try:
        return await _commit(tools, piece, spent, save)
    except Outage:
        await tools.leases.extend(piece)
        raise


async def _commit(tools: Tools, piece: Piece, spent: Sequence[Spent], save: Settle) -> Ending | None:
    """The piece, then the run, then the roadmap's events: this order of locks is the same everywhere."""
    async with tools.db.transaction() as tx:
        notices = [await save(tx)]
        await settle(tx, spent)
        if await store.lock_run(tx, piece.run_id) is not RunStatus.WRITING:
            raise Superseded("the run has ended")
        ended = await store.end_if_done(tx, piece.run_id)
        if ended is not None:
            run_id = show_id(Prefix.RUN, piece.run_id)
            moved = RunMoved(run_id=run_id, status=ended.status, code=ended.code, message=ended.message)
            notices.append(Notice(END_EVENTS[ended.status], moved))
        await events.append(tx, piece.roadmap_id, notices)
    return ended


def _tell_end(tools: Tools, ended: Ending) -> None:
    if ended.code is None:
        tools.recorder.note(Category.RUN, f"run {ended.status}")
        return
    reason = ended.message
    tools.recorder.note(Category.RUN, f"run {ended.status}", level=Level.WARNING, code=ended.code, reason=reason)


def _names(piece: Piece) -> dict[str, Any]:
    return {
        "run_id": show_id(Prefix.RUN, piece.run_id),
        "concept_id": show_id(Prefix.CONCEPT, piece.concept_id),
        "kind": piece.kind.value,
    }
