"""Claims, leases and fences of the pieces, and the end of their run, in a real PostgreSQL."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from pieces import LEASE, OpenRun, open_run

from roadmap.content import store as content
from roadmap.content.store import Piece, Place
from roadmap.database import Database
from roadmap.errors import Superseded
from roadmap.ids import new_id
from roadmap.roadmaps.model import Kind
from roadmap.runs import store as runs
from roadmap.runs.leases import EXTEND_DRAFTS
from roadmap.runs.model import RunStatus
from roadmap.runs.store import Ending

BODY = {"markdown": "# Joins"}
ROUNDS = 20


async def save(run: OpenRun, piece: Piece, body: dict[str, Any] = BODY) -> int:
    async with run.db.transaction() as tx:
        return await content.save_piece(tx, piece, body)


async def settle(run: OpenRun, piece: Piece, met: asyncio.Barrier, *, failed: bool = False) -> RunStatus | None:
    """As a job ends a piece: the piece, the lock, the question whether that was all. Both meet before the lock."""
    async with run.db.transaction() as tx:
        if failed:
            await content.fail_piece(tx, piece, "model_refused", "no")
        else:
            await content.save_piece(tx, piece, BODY)
        await met.wait()
        assert await runs.lock_run(tx, run.run_id) is RunStatus.WRITING
        ended = await runs.end_if_done(tx, run.run_id)
    return ended.status if ended else None


async def status_of(run: OpenRun) -> RunStatus:
    found = await runs.find_run(run.db, run.user_id, run.run_id)
    assert found is not None
    return found.status


async def test_a_claim_takes_every_open_piece_of_the_concept(run: OpenRun) -> None:
    pieces = await run.claim()

    assert {piece.kind for piece in pieces} == set(Kind)
    assert {(piece.claim, piece.failures, piece.crashes) for piece in pieces} == {(1, 0, 0)}
    row = await run.row()
    assert (row["status"], row["claimed_by"]) == ("writing", "w1")
    assert timedelta(seconds=LEASE - 5) < row["due_in"] <= timedelta(seconds=LEASE)


async def test_what_is_claimed_is_not_claimed_again_while_the_lease_lasts(run: OpenRun) -> None:
    await run.claim("w1")

    assert await run.claim("w2") == []
    assert (await run.row())["claimed_by"] == "w1"


@pytest.mark.fault("F23")
async def test_of_two_workers_at_once_one_gets_the_concept(run: OpenRun) -> None:
    claims = await asyncio.gather(*(run.claim(f"w{number}") for number in range(5)))

    assert sorted(len(pieces) for pieces in claims) == [0, 0, 0, 0, 3]


@pytest.mark.fault("F1")
async def test_after_the_lease_another_worker_takes_over_and_the_crash_counts(run: OpenRun) -> None:
    await run.claim("w1", lease=0)

    pieces = await run.claim("w2", lease=0)
    again = await run.claim("w3")

    assert {(piece.claim, piece.crashes) for piece in pieces} == {(2, 1)}
    assert {(piece.claim, piece.crashes, piece.failures) for piece in again} == {(3, 2, 0)}


async def test_what_has_seen_too_many_crashes_is_left_to_somebody_else(run: OpenRun) -> None:
    await run.claim("w1", lease=0)
    await run.claim("w2", lease=0)

    assert await run.claim("w3", crashes=2) == [], "to take it over would count the second"
    assert {piece.crashes for piece in await run.claim("w3", crashes=3)} == {2}


async def test_a_piece_that_waits_is_not_taken_before_its_time_by_a_job_for_its_sibling(run: OpenRun) -> None:
    pieces = await run.claim()
    tutorial = next(piece for piece in pieces if piece.kind is Kind.TUTORIAL)
    await content.defer_pieces(run.db, [tutorial], 120, failed=False)
    others = [piece for piece in pieces if piece is not tutorial]
    await content.defer_pieces(run.db, others, 0, failed=False)

    assert {piece.kind for piece in await run.claim("w2")} == {Kind.RESOURCES, Kind.QUIZ}
    waits = await content.open_for(run.db, run.roadmap_id, run.concept_id, Kind.TUTORIAL)
    assert waits is not None
    assert 100 < waits <= 120


async def test_a_deferral_is_not_overruled_by_a_late_heartbeat(database: Database) -> None:
    run = await open_run(database)
    await run.back_to_queued()
    claim = await run.claim_draft("w1")
    assert claim is not None
    await runs.defer_draft(database, claim, 120, failed=False)

    assert await database.fetch(EXTEND_DRAFTS, [claim.run_id], [claim.claim], 10.0) == []
    await runs.defer_draft(database, claim, 0, failed=True)
    assert await run.claim_draft("w2") is None


@pytest.mark.fault("F4")
async def test_a_late_writer_is_refused_and_leaves_nothing(run: OpenRun) -> None:
    late, *_ = await run.claim("w1", lease=0)
    current = {piece.kind: piece for piece in await run.claim("w2")}[late.kind]

    for write in (save(run, late), content.fail_piece(run.db, late, "code", "message")):
        with pytest.raises(Superseded):
            await write
    await content.defer_pieces(run.db, [late], 0, failed=True)

    row = await run.row(late.kind)
    assert (row["status"], row["claimed_by"], row["failures"], row["version"]) == ("writing", "w2", 0, 0)
    assert await save(run, current) == 1


async def test_a_piece_is_saved_once_for_each_claim(run: OpenRun) -> None:
    piece, *_ = await run.claim()
    await save(run, piece)

    with pytest.raises(Superseded):
        await save(run, piece, {"markdown": "twice"})

    assert await content.body_of(run.db, run.roadmap_id, run.concept_id, piece.kind) == BODY
    row = await run.row(piece.kind)
    assert (row["status"], row["claimed_by"], row["due_at"], row["version"]) == ("ready", None, None, 1)
    assert len(await run.claim(lease=0)) == 0, "two are claimed, one is ready"


async def test_a_failed_piece_says_why_and_stays_failed(run: OpenRun) -> None:
    piece, *_ = await run.claim()

    await content.fail_piece(run.db, piece, "model_refused", "the model refused to answer")

    row = await run.row(piece.kind)
    assert (row["status"], row["failures"], row["due_at"]) == ("failed", 1, None)
    assert (row["error_code"], row["error_message"]) == ("model_refused", "the model refused to answer")


@pytest.mark.parametrize("failed", [True, False])
async def test_deferred_pieces_come_back_later_and_only_a_failure_costs_a_try(run: OpenRun, failed: bool) -> None:
    pieces = await run.claim()
    kept = next(piece for piece in pieces if piece.kind is Kind.QUIZ)

    await content.defer_pieces(run.db, [piece for piece in pieces if piece is not kept], 60, failed=failed)

    row = await run.row()
    assert (row["status"], row["claimed_by"], row["failures"], row["crashes"]) == ("pending", None, int(failed), 0)
    assert timedelta(seconds=55) < row["due_in"] <= timedelta(seconds=60)
    assert (await run.row(Kind.QUIZ))["claimed_by"] == "w1"
    assert await run.claim("w2") == [], "its time has not come"
    await run.db.execute("UPDATE content SET not_before = now() WHERE not_before IS NOT NULL")
    assert {piece.crashes for piece in await run.claim("w2")} == {0}, "to let go is no crash"


async def test_deferring_nothing_is_no_statement(run: OpenRun) -> None:
    await content.defer_pieces(run.db, [], 60, failed=True)

    assert (await run.row())["failures"] == 0


async def test_a_released_run_is_neither_written_nor_swept(run: OpenRun) -> None:
    ready, late, other = await run.claim()
    await save(run, ready)

    async with run.db.transaction() as tx:
        await content.release_run(tx, run.run_id)

    assert (await run.row(ready.kind))["status"] == "ready", "what is ready stays"
    for piece in (late, other):
        row = await run.row(piece.kind)
        assert (row["status"], row["claimed_by"], row["due_at"], row["claim"]) == ("pending", None, None, 2)
    with pytest.raises(Superseded):
        await save(run, late)
    assert await run.claim("w2") == []


async def test_nothing_is_claimed_of_a_run_that_has_ended(run: OpenRun) -> None:
    await runs.end_run(run.db, run.run_id, Ending(RunStatus.CANCELED))

    assert await run.claim() == []


async def test_a_body_is_found_by_its_owner_alone(run: OpenRun) -> None:
    pieces = {piece.kind: piece for piece in await run.claim()}
    await save(run, pieces[Kind.TUTORIAL])
    mine = Place(run.user_id, run.roadmap_id, run.concept_id, Kind.TUTORIAL)
    foreign = Place(new_id(), run.roadmap_id, run.concept_id, Kind.TUTORIAL)

    found = await content.find_body(run.db, mine, None)
    missing = await content.find_body(run.db, mine, 7)

    assert found is not None
    assert (found["status"], found["version"], found["body"]) == ("ready", 1, BODY)
    assert missing is not None
    assert (missing["version"], missing["latest"], missing["body"]) == (None, 1, None)
    assert await content.find_body(run.db, foreign, None) is None


async def test_a_run_does_not_end_while_a_piece_is_open(run: OpenRun) -> None:
    for piece in (await run.claim())[:2]:
        assert await settle(run, piece, asyncio.Barrier(1)) is None

    assert await status_of(run) is RunStatus.WRITING


@pytest.mark.parametrize(("failed", "end"), [(False, RunStatus.SUCCEEDED), (True, RunStatus.INCOMPLETE)])
async def test_the_last_of_two_pieces_that_settle_at_once_ends_the_run(
    database: Database, failed: bool, end: RunStatus
) -> None:
    for _ in range(ROUNDS):
        run = await open_run(database, (Kind.TUTORIAL, Kind.QUIZ))
        one, other = await run.claim()
        met = asyncio.Barrier(2)

        ends = await asyncio.gather(settle(run, one, met, failed=failed), settle(run, other, met))

        assert sorted(map(str, ends)) == sorted([str(None), str(end)])
        assert await status_of(run) is end


@pytest.mark.fault("F4")
async def test_a_draft_is_claimed_by_one_worker_and_its_late_writer_is_refused(database: Database) -> None:
    run = await open_run(database)
    await run.back_to_queued()
    late = await run.claim_draft("w1", lease=0)
    current = await run.claim_draft("w2")

    assert late is not None
    assert current is not None
    assert (current.claim, current.crashes) == (late.claim + 1, late.crashes + 1)
    assert await run.claim_draft("w3") is None
    async with database.transaction() as tx:
        with pytest.raises(Superseded):
            await runs.lock_draft(tx, late)
        with pytest.raises(Superseded):
            await runs.start_writing(tx, late)
        await runs.lock_draft(tx, current)


async def test_a_deferred_draft_waits_and_only_a_failure_costs_a_try(database: Database) -> None:
    run = await open_run(database)
    await run.back_to_queued()
    claim = await run.claim_draft("w1")
    assert claim is not None

    await runs.defer_draft(database, claim, 0, failed=True)
    again = await run.claim_draft("w2")
    await runs.defer_draft(database, claim, 0, failed=True)

    assert again is not None
    assert (again.failures, again.crashes) == (1, 0)
    assert await run.claim_draft("w3") is None, "the late deferral changed nothing"
