"""The heartbeat of a process's claims, while others hold locks, let go and cancel."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from stack import eventually
from worker_here import ANY, WritingRun, open_tools, queued_run, run_of, writing_run

from roadmap.content import store as content
from roadmap.content.store import Piece
from roadmap.database import Database
from roadmap.errors import Superseded
from roadmap.llm.client import Endpoint
from roadmap.roadmaps.model import Kind
from roadmap.runs import store as runs
from roadmap.runs.leases import Hold, Leases
from roadmap.runs.model import DraftClaim

ROUNDS = 20
LEASE = 0.4
NOBODY = Endpoint("small", "http://127.0.0.1:9/v1")

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > $1
"""


@asynccontextmanager
async def locked(db: Database, table: str, seconds: float) -> AsyncIterator[None]:
    """Holds every row of a table, for as long as somebody has waited for it after the block for so many seconds."""
    async with db.transaction() as tx:
        await tx.fetch(f"SELECT FROM {table} FOR NO KEY UPDATE")
        yield
        await eventually(
            lambda: db.fetchval(WAITING, timedelta(seconds=seconds)), f"somebody has waited for {seconds} s"
        )


async def waits(db: Database) -> None:
    await eventually(lambda: db.fetchval(WAITING, timedelta(0)), "somebody waits for a lock")


async def claim_draft(db: Database) -> DraftClaim:
    claim = await runs.claim_draft(db, (await queued_run(db)).run_id, "w1", LEASE, ANY)
    assert claim is not None
    return claim


@contextmanager
def holding(leases: Leases, pieces: list[Piece]) -> Iterator[Hold]:
    first = pieces[0]
    claims = {piece.kind: piece.claim for piece in pieces}
    hold = Hold(first.run_id, roadmap_id=first.roadmap_id, concept_id=first.concept_id, pieces=claims)
    with leases.hold(hold):
        yield hold


async def test_a_heartbeat_that_waited_longer_than_a_lease_extends_the_drafts_lease_from_then(
    database: Database,
) -> None:
    claim = await claim_draft(database)
    leases = Leases(database, "w1", LEASE)
    with leases.hold(Hold(claim.run_id, draft=claim.claim)):
        async with asyncio.TaskGroup() as group, locked(database, "runs", 1.5 * LEASE):
            beat = group.create_task(leases._extend())
        row = await run_of(database, claim.run_id)
        assert beat.result()
        assert row["due_in"] > timedelta(0)


async def test_a_heartbeat_that_waited_longer_than_a_lease_extends_the_pieces_leases_from_then(
    database: Database,
) -> None:
    run = await writing_run(database)
    leases = Leases(database, "w1", LEASE)
    with holding(leases, await run.claim(lease=LEASE)):
        async with asyncio.TaskGroup() as group, locked(database, "content", 1.5 * LEASE):
            beat = group.create_task(leases._extend())
        assert beat.result()
        for kind in Kind:
            assert (await run.piece(kind))["due_in"] > timedelta(0)


async def test_a_claim_that_waited_longer_than_a_lease_begins_then(database: Database) -> None:
    run_id = (await queued_run(database)).run_id
    run = await writing_run(database)
    async with (
        asyncio.TaskGroup() as group,
        locked(database, "runs", 1.5 * LEASE),
        locked(database, "content", 1.5 * LEASE),
    ):
        drafted = group.create_task(runs.claim_draft(database, run_id, "w1", LEASE, ANY))
        written = group.create_task(run.claim(lease=LEASE))
    assert drafted.result() is not None
    assert len(written.result()) == 3
    assert (await run_of(database, run_id))["due_in"] > timedelta(0)
    assert (await run.piece())["due_in"] > timedelta(0)


async def test_a_piece_settled_in_the_middle_of_a_heartbeat_is_not_lost(database: Database) -> None:
    """The heartbeat asked for it, waits behind its commit and comes back without it."""
    leases = Leases(database, "w1", 30)
    for _ in range(ROUNDS):
        run = await writing_run(database)
        pieces = await run.claim()
        with holding(leases, pieces) as hold:
            async with asyncio.TaskGroup() as group, database.transaction() as tx:
                await content.save_piece(tx, pieces[0], {"markdown": "# Joins"})
                beat = group.create_task(leases._extend())
                await waits(database)
                hold.let_go(pieces[0].kind)
            assert beat.result()
        assert not hold.lost


async def test_a_hold_on_pieces_that_ends_in_the_middle_of_a_heartbeat_is_not_cancelled_afterwards(
    database: Database,
) -> None:
    leases = Leases(database, "w1", 30)
    for _ in range(ROUNDS):
        pieces = await (await writing_run(database)).claim()
        async with asyncio.TaskGroup() as group, database.transaction() as tx:
            with holding(leases, pieces) as hold:
                await content.defer_pieces(tx, pieces, 0, failed=False)
                beat = group.create_task(leases._extend())
                await waits(database)
        assert (beat.result(), hold.lost, hold.task.cancelling()) == (True, "", 0)


async def test_a_hold_on_a_draft_that_ends_in_the_middle_of_a_heartbeat_is_not_cancelled_afterwards(
    database: Database,
) -> None:
    leases = Leases(database, "w1", 30)
    for _ in range(ROUNDS):
        claim = await claim_draft(database)
        async with asyncio.TaskGroup() as group, database.transaction() as tx:
            with leases.hold(Hold(claim.run_id, draft=claim.claim)) as hold:
                await runs.defer_draft(tx, claim, 0, failed=False)
                beat = group.create_task(leases._extend())
                await waits(database)
        assert (beat.result(), hold.lost, hold.task.cancelling()) == (True, "", 0)


@pytest.mark.fault("F4")
async def test_a_claim_that_was_taken_over_is_lost_at_the_next_heartbeat_and_others_are_kept(
    database: Database, redis_url: str
) -> None:
    run, kept = await writing_run(database), await writing_run(database)
    async with open_tools(database, redis_url, NOBODY, LEASE) as tools:
        with holding(tools.leases, await kept.claim(lease=LEASE)) as hold:
            job = asyncio.create_task(_hold_for_ever(tools.leases, await run.claim(lease=LEASE)))
            await eventually(lambda: len(tools.leases) == 2, "the job holds its claims")
            taken = "UPDATE content SET claim = claim + 1 WHERE run_id = $1 AND kind = 'quiz'"
            await database.execute(taken, run.id)
            with pytest.raises(Superseded, match="taken over"):
                await job
            first = (await kept.piece())["due_at"]
            await eventually(lambda: _extended(kept, first), "the lease of the other is extended")
            assert not hold.lost


@pytest.mark.fault("F32")
async def test_a_canceled_run_loses_its_holds_and_no_other(database: Database) -> None:
    leases = Leases(database, "w1", 30)
    for _ in range(ROUNDS):
        jobs = [asyncio.create_task(_hold_for_ever(leases, pieces)) for pieces in await _two_concepts(database)]
        claim = await claim_draft(database)
        with leases.hold(Hold(claim.run_id, draft=claim.claim)) as other:
            await eventually(lambda: len(leases) == 3, "the jobs hold their claims")
            leases.cancel_run(_run_of(leases, other))
            for job in jobs:
                with pytest.raises(Superseded, match="canceled"):
                    await job
            assert not other.lost


async def _two_concepts(db: Database) -> list[list[Piece]]:
    run = await writing_run(db, 2)
    return [await run.claim(0), await run.claim(1)]


def _run_of(leases: Leases, other: Hold) -> UUID:
    return next(hold.run_id for hold in leases._holds if hold is not other)


async def _hold_for_ever(leases: Leases, pieces: list[Piece]) -> None:
    with holding(leases, pieces):
        await asyncio.Event().wait()


async def _extended(run: WritingRun, since: datetime) -> bool:
    return bool((await run.piece())["due_at"] > since)
