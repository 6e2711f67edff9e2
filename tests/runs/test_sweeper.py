"""The sweeper brings back what is overdue: once, and only when it is somebody's."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from pooler import direct
from redis.asyncio import Redis
from stack import eventually
from worker_here import WritingRun, queued_run, run_of, writing_run

from roadmap.content import store as content
from roadmap.database import Database, Pool, open_database
from roadmap.embedded.redis import RedisServer
from roadmap.errors import Outage, Superseded
from roadmap.queue.client import Queue, open_queue
from roadmap.roadmaps.model import Kind
from roadmap.runs.sweeper import Sweeper

ROUNDS = 20
LEASE = 0.4
DUE = "UPDATE content SET due_at = now() - interval '1 second'"


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[Queue]:
    async with open_queue(redis_url) as opened:
        yield opened


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def job_ids(redis: Redis, key: str = "content") -> list[str]:
    return sorted(job.decode() for job in await redis.zrange(key, 0, -1))


@pytest.mark.fault("F8")
async def test_what_is_overdue_is_offered_once(database: Database, queue: Queue, redis: Redis) -> None:
    run = await writing_run(database, 2)
    drafted = await queued_run(database)
    await database.execute(DUE)
    await database.execute("UPDATE runs SET due_at = now() WHERE status = 'queued'")
    sweeper = Sweeper(database, queue, LEASE)
    await sweeper.sweep()
    offered = await job_ids(redis)
    expected = [f"write:{run.id.hex}:{concept.hex}:q0r0t0" for concept in run.concepts]
    assert offered == sorted([f"draft:{drafted.run_id.hex}:0", *expected])
    await redis.flushdb()
    await sweeper.sweep()
    assert await job_ids(redis) == [], "it was offered a moment ago"
    row = await run.piece()
    assert timedelta(seconds=15) < row["due_in"] <= timedelta(seconds=20)
    assert (row["claim"], row["crashes"]) == (0, 0), "nobody had it"


async def test_what_an_emptied_redis_lost_comes_back_by_learner_and_not_by_age(
    database: Database, queue: Queue, redis: Redis
) -> None:
    many = await writing_run(database, 30)
    one = await writing_run(database, 3)
    await database.execute(DUE)
    await Sweeper(database, queue, LEASE).sweep()
    first = [job.decode().split(":")[1] for job in await redis.zrange("content", 0, 5)]
    assert sorted(first) == sorted([many.id.hex, one.id.hex] * 3)


async def test_what_is_not_due_is_left_alone(database: Database, queue: Queue, redis: Redis) -> None:
    await writing_run(database)
    await queued_run(database)
    await Sweeper(database, queue, 0.0).sweep()
    assert await job_ids(redis) == []


@pytest.mark.fault("F10")
async def test_while_redis_is_away_nothing_is_taken_and_afterwards_everything(
    database: Database, servers_folder: Path
) -> None:
    server = RedisServer(servers_folder / "redis-swept", durable=False)
    await server.start()
    try:
        run = await writing_run(database, 3)
        await run.claim(lease=0)
        await database.execute(DUE)
        before = await run.pieces()
        async with open_queue(server.url) as queue, Redis.from_url(server.url) as redis:
            sweeper = Sweeper(database, queue, 0.0)
            await server.stop()
            for _ in range(3):
                await sweeper.sweep()
            assert await run.pieces() == before
            await server.start()
            await sweeper.sweep()
            assert len(await job_ids(redis)) == 3
    finally:
        await server.stop()


@pytest.mark.fault("F1")
async def test_a_lease_that_ran_out_is_fenced_after_half_a_lease_of_good_health(
    database: Database, queue: Queue, redis: Redis
) -> None:
    run = await writing_run(database)
    late = await run.claim(lease=0)
    sweeper, started = Sweeper(database, queue, LEASE), time.monotonic()
    await sweeper.sweep()
    assert (await run.piece())["claim"] == 1, "its worker may be alive, and the database was not"
    await eventually(_sweeps(sweeper, run), "the claim is taken")
    assert time.monotonic() - started >= LEASE / 2
    states = {(p["status"], p["claim"], p["crashes"], p["claimed_by"]) for p in await run.pieces()}
    assert states == {("pending", 2, 1, None)}
    assert await job_ids(redis) == [f"write:{run.id.hex}:{run.concepts[0].hex}:q2r2t2"]
    async with database.transaction() as tx:
        with pytest.raises(Superseded):
            await content.save_piece(tx, late[0], {"markdown": "late"})


@pytest.mark.fault("F1")
async def test_a_drafts_lease_that_ran_out_is_fenced(database: Database, queue: Queue, redis: Redis) -> None:
    run_id = (await queued_run(database)).run_id
    await database.execute("UPDATE runs SET status = 'drafting', claim = 1, claimed_by = 'w1', due_at = now()")
    await Sweeper(database, queue, 0.0).sweep()
    row = await run_of(database, run_id)
    assert (row["status"], row["claim"], row["crashes"], row["claimed_by"]) == ("drafting", 2, 1, None)
    assert await job_ids(redis) == [f"draft:{run_id.hex}:2"]


async def test_a_lease_that_was_extended_in_time_is_not_taken(database: Database, queue: Queue) -> None:
    run = await writing_run(database)
    await run.claim(lease=60)
    await Sweeper(database, queue, 0.0).sweep()
    assert (await run.piece())["claim"] == 1


@pytest.mark.fault("F14")
async def test_after_an_outage_the_living_get_their_time_again(
    database: Database, database_url: str, queue: Queue
) -> None:
    run = await writing_run(database)
    await run.claim(lease=0)
    async with open_database(Pool(direct(database_url), size=1, name="sweeper", statement_timeout=0.1)) as hurried:
        sweeper = Sweeper(hurried, queue, LEASE)
        await eventually(_sweeps(sweeper, run), "the sweeper trusts its health")
        await run.claim(lease=0)
        async with database.transaction() as tx:
            await tx.execute("LOCK TABLE content")
            with pytest.raises(Outage):
                await sweeper.sweep()
        started = time.monotonic()
        await sweeper.sweep()
        assert (await run.piece())["claimed_by"] == "w2"
        await eventually(_sweeps(sweeper, run), "the claim is taken")
        assert time.monotonic() - started >= LEASE / 2


def _sweeps(sweeper: Sweeper, run: WritingRun) -> Callable[[], object]:
    """Sweeps, and tells whether the run's pieces are nobody's."""

    async def swept() -> bool:
        await sweeper.sweep()
        return {piece["claimed_by"] for piece in await run.pieces()} == {None}

    return swept


@pytest.mark.parametrize("claimed", [True, False])
async def test_a_piece_of_an_ended_run_leaves_the_outbox(
    database: Database, queue: Queue, redis: Redis, claimed: bool
) -> None:
    run = await writing_run(database)
    if claimed:
        await run.claim(lease=0)
    await database.execute("UPDATE runs SET status = 'canceled', finished_at = now()")
    await database.execute(DUE)
    await Sweeper(database, queue, 0.0).sweep()
    assert {(p["status"], p["due_at"], p["claimed_by"]) for p in await run.pieces()} == {("pending", None, None)}
    assert await job_ids(redis) == []


async def test_a_piece_that_is_due_gets_a_job_while_the_job_of_its_sibling_runs(
    database: Database, queue: Queue, redis: Redis
) -> None:
    run = await writing_run(database)
    sweeper = Sweeper(database, queue, 0.0)
    for kind in Kind:
        await database.execute(f"{DUE} WHERE kind = $1", kind.value)
        await sweeper.sweep()
    place = f"write:{run.id.hex}:{run.concepts[0].hex}"
    assert await job_ids(redis) == [f"{place}:q0", f"{place}:r0", f"{place}:t0"]


async def test_two_sweepers_at_once_take_and_offer_each_piece_once(
    database: Database, redis_url: str, redis: Redis
) -> None:
    run = await writing_run(database, 40)
    claimed = (await run.claim(place, lease=0) for place in range(20))
    assert [len(pieces) async for pieces in claimed] == [3] * 20
    async with _two_sweepers(database, redis_url) as sweepers:
        for _ in range(ROUNDS):
            await database.execute(
                "UPDATE content SET claim = (claimed_by IS NOT NULL)::int, crashes = 0,"
                " due_at = now() - interval '1 second'"
            )
            fenced = {(p["concept_id"], p["kind"]) for p in await run.pieces() if p["claimed_by"]}
            await asyncio.gather(*(sweeper.sweep() for sweeper in sweepers))
            offered = [*await job_ids(redis, "one:content"), *await job_ids(redis, "two:content")]
            assert set(Counter(_pieces(offered)).values()) == {1}
            assert len(_pieces(offered)) == 120
            for piece in await run.pieces():
                taken = int((piece["concept_id"], piece["kind"]) in fenced)
                assert (piece["claim"], piece["crashes"], piece["claimed_by"]) == (2 * taken, taken, None)
            await redis.flushdb()
            await database.execute(
                "UPDATE content SET claimed_by = 'w2', status = 'writing' WHERE concept_id = ANY($1)",
                list(run.concepts[:20]),
            )


async def test_two_sweepers_at_once_take_and_offer_each_draft_once(
    database: Database, redis_url: str, redis: Redis
) -> None:
    runs = [(await queued_run(database)).run_id for _ in range(30)]
    async with _two_sweepers(database, redis_url) as sweepers:
        for _ in range(ROUNDS):
            await database.execute("UPDATE runs SET due_at = now() - interval '1 second'")
            await asyncio.gather(*(sweeper.sweep() for sweeper in sweepers))
            offered = [*await job_ids(redis, "one:content"), *await job_ids(redis, "two:content")]
            assert sorted(offered) == sorted(f"draft:{run_id.hex}:0" for run_id in runs)
            await redis.flushdb()


@asynccontextmanager
async def _two_sweepers(db: Database, redis_url: str) -> AsyncIterator[tuple[Sweeper, Sweeper]]:
    """Each with a queue of its own, where its offers can be told from the other's."""
    async with open_queue(redis_url, namespace="one") as one, open_queue(redis_url, namespace="two") as two:
        yield Sweeper(db, one, 0.0), Sweeper(db, two, 0.0)


def _pieces(offered: list[str]) -> list[tuple[UUID, str]]:
    """What the jobs' ids name."""
    jobs = [job.split(":")[2:] for job in offered]
    return [(UUID(concept), letter) for concept, claims in jobs for letter in claims if letter.isalpha()]
