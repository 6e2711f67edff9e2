"""PostgreSQL stops, ends our sessions, locks a table, meets frozen processes: the runs complete, the pools heal."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
from pooler import direct, pgbouncer, through
from visitor import SERVICES, lived_through
from waiting import eventually
from whole import PIECES, Whole, check_log, check_run, offline, open_whole, rows

from roadmap.database import Database
from roadmap.embedded.postgres import PostgresServer
from roadmap.errors import Outage
from roadmap.frozen import SPARE_SECONDS, end_frozen_transactions
from roadmap.runs.persist import persist

SLOWLY = {"CONTENT_CONCURRENCY": "5"}
CONTENT = {"roadmap-content": 0.2 - SPARE_SECONDS}  # whoever is older than 0.2 s

WAITING_FOR_LOCKS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'roadmap-content' AND wait_event_type = 'Lock'
"""
IN_TRANSACTION = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'roadmap-content' AND xact_start IS NOT NULL
"""
END_OURS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'roadmap-%'
"""
ROLLED_BACK = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
STATE = "SELECT state, wait_event_type FROM pg_stat_activity WHERE pid = $1"


@asynccontextmanager
async def session(database_url: str, name: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(direct(database_url), server_settings={"application_name": name}, timeout=10)
    try:
        yield connection
    finally:
        connection.terminate()


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    """All three processes, with content that takes a while."""
    async with open_whole(tmp_path, database_url, redis_url, AUTH_MODE="none", **SLOWLY) as opened:
        opened.model.default = offline(0.2)
        await opened.stack.start(*SERVICES)
        yield opened


# ---- F14, F15: sessions end ----


@pytest.mark.fault("F14")
async def test_postgresql_stopped_at_once_and_started_again_in_mid_run_heals_without_restarts(
    tmp_path: Path, own_postgres: PostgresServer, redis_url: str
) -> None:
    async with open_whole(tmp_path, own_postgres.url, redis_url, AUTH_MODE="none", **SLOWLY) as whole:
        whole.model.default = offline(0.2)
        await whole.stack.start(*SERVICES)
        roadmap_id = await whole.create()
        await whole.ready(9)
        async with lived_through(whole, bound=8, retries=30):
            await own_postgres.stop("immediate")
            # Long enough for every lease to run out: nobody died, so nobody may be counted as dead.
            await eventually(lambda: len(whole.stack["content"].lines("chore_failed")) >= 2, "sweeps fail")
            await own_postgres.start()
        assert await _counted(whole, roadmap_id) == {(0, 0)}


@pytest.mark.fault("F15")
@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.timeout(240)])])
async def test_sessions_that_are_ended_every_three_seconds_fail_no_request_and_no_run(
    whole: Whole, rounds: int
) -> None:
    roadmap_id = await whole.create()
    async with lived_through(whole, bound=8), session(whole.database_url, "tests") as killer:
        for _ in range(rounds):
            await asyncio.sleep(3)  # the pace is what the fault is
            assert await killer.fetchval(END_OURS) >= 3
        await _heal(whole)
    assert await _counted(whole, roadmap_id) == {(0, 0)}


# ---- F16: locks, and races that are lost ----


@pytest.mark.fault("F16")
@pytest.mark.parametrize("seconds", [4, pytest.param(30, marks=[pytest.mark.slow, pytest.mark.timeout(240)])])
async def test_a_locked_table_keeps_nobody_waiting_longer_than_the_statement_time_out(
    whole: Whole, seconds: float
) -> None:
    roadmap_id = await whole.create()
    await whole.ready(6)
    async with lived_through(whole, bound=9, retries=40), session(whole.database_url, "tests") as other:
        await other.execute("BEGIN; LOCK TABLE content")
        await asyncio.sleep(seconds)  # this long is what the fault is
        await other.execute("COMMIT")
    assert await _counted(whole, roadmap_id) == {(0, 0)}


@pytest.mark.slow
@pytest.mark.fault("F16")
async def test_a_run_completes_although_every_transaction_may_lose_a_race(whole: Whole) -> None:
    """An operator may have made the database stricter than it has to be: then many more of them lose."""
    name = await whole.db.fetchval("SELECT current_database()")
    async with session(whole.database_url, "tests") as other:
        await other.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
        await other.fetchval(END_OURS)
    await _heal(whole)
    before = await whole.db.fetchval(ROLLED_BACK)
    roadmap_ids = [await whole.create() for _ in range(3)]
    for roadmap_id in roadmap_ids:
        await whole.finish(roadmap_id)
        await check_run(whole.db, roadmap_id)
        assert await _counted(whole, roadmap_id) == {(0, 0)}
    assert await whole.db.fetchval(ROLLED_BACK) > before


@pytest.mark.fault("F16")
async def test_what_lost_a_race_is_committed_again_and_what_is_wrong_is_not(database: Database) -> None:
    await database.execute("CREATE TABLE tries (number int PRIMARY KEY)")
    await database.execute("INSERT INTO tries VALUES (1)")
    attempts: list[str] = []

    async def lose_once() -> str:
        attempts.append("race")
        if len(attempts) < 3:
            await database.execute("DO $$ BEGIN RAISE serialization_failure; END $$")
        return await database.execute("INSERT INTO tries VALUES (2)")

    async def wrong() -> str:
        attempts.append("wrong")
        return await database.execute("INSERT INTO tries VALUES (1)")

    assert await persist(lose_once) == "INSERT 0 1"
    with pytest.raises(asyncpg.UniqueViolationError):
        await persist(wrong)
    assert attempts == ["race", "race", "race", "wrong"]


# ---- processes that freeze in a transaction ----


@pytest.mark.fault("F4")
async def test_a_transaction_whose_client_says_nothing_more_is_ended_whatever_it_was_doing(
    database: Database, database_url: str
) -> None:
    async with session(database_url, "roadmap-content") as idle, session(database_url, "roadmap-content") as between:
        for frozen in (idle, between):
            await frozen.execute("BEGIN")
        await idle.execute("LOCK TABLE users IN ROW EXCLUSIVE MODE")
        await between.prepare("SELECT 1")  # its first messages only: to PostgreSQL the session is active
        states = [tuple(await database.fetchrow(STATE, each.get_server_pid()) or ()) for each in (idle, between)]
        assert states == [("idle in transaction", "Client"), ("active", "Client")]
        await asyncio.sleep(0.3)  # they are old enough now
        assert await end_frozen_transactions(database, CONTENT) == 2
        await eventually(lambda: idle.is_closed() and between.is_closed(), "their clients know")


@pytest.mark.fault("F4")
async def test_who_waits_for_a_lock_is_young_or_is_a_stranger_is_left_alone(
    database: Database, database_url: str
) -> None:
    async with (
        session(database_url, "pg_dump") as stranger,
        session(database_url, "roadmap-content") as victim,
        session(database_url, "roadmap-web") as patient,
    ):
        for connection in (stranger, victim, patient):
            await connection.execute("BEGIN")
        await stranger.execute("LOCK TABLE users")
        waiting = asyncio.ensure_future(victim.execute("LOCK TABLE users"))
        await eventually(lambda: database.fetchval(WAITING_FOR_LOCKS), "it waits for the lock")
        await asyncio.sleep(0.3)
        assert await end_frozen_transactions(database, {**CONTENT, "roadmap-web": 60}) == 0
        await stranger.execute("COMMIT")
        await waiting
        assert [await each.fetchval("SELECT 1") for each in (stranger, patient)] == [1, 1]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.fault("F4")
@pytest.mark.parametrize("behind_a_pooler", [False, True])
async def test_without_a_time_out_of_postgresqls_a_frozen_workers_locks_are_taken_from_it_all_the_same(
    tmp_path: Path, database_url: str, redis_url: str, servers_folder: Path, behind_a_pooler: bool
) -> None:
    """As with PostgreSQL 15 and 16, and behind a pooler: the session has no time-out at all."""
    async with AsyncExitStack() as opened:
        url = direct(database_url)
        if behind_a_pooler:
            url = through(url, await opened.enter_async_context(pgbouncer(servers_folder / "frozen", url)))
        # As in production it is longer than a statement may take: who waits for a frozen worker's locks has not died.
        settings = {"DATABASE_URL": url, "DB_POOLER": "transaction", "LEASE": "10", **SLOWLY}
        whole = await opened.enter_async_context(open_whole(tmp_path, database_url, redis_url, **settings))
        whole.model.default = offline(0.2)
        await whole.stack.start("content")
        roadmap_id = await whole.create()
        await whole.ready(6)
        await _freeze_in_transactions(whole)
        await whole.stack.start("content:second", "logs")
        await whole.finish(roadmap_id, within=90)  # a suspect waits for its turn, and a sweep
        await check_run(whole.db, roadmap_id)
        ended = whole.stack["logs"].lines("frozen_transactions_ended")
        assert sum(line["count"] for line in ended) >= 1
        whole.stack["content"].signal(signal.SIGCONT)
        await check_log(whole.db, roadmap_id, within=90)


async def _freeze_in_transactions(whole: Whole) -> None:
    """Stops the content worker while it holds its runs' locks and waits for the last one; then that is free."""
    async with session(whole.database_url, "tests") as other:
        await other.execute("BEGIN")
        await other.execute("SELECT 1 FROM roadmaps FOR NO KEY UPDATE")
        await eventually(lambda: whole.db.fetchval(WAITING_FOR_LOCKS), "the worker waits for the lock")
        whole.stack["content"].signal(signal.SIGSTOP)
    assert await whole.db.fetchval(IN_TRANSACTION) > 0


async def _heal(whole: Whole) -> None:
    """The test's own pool has seen that its sessions ended."""

    async def look() -> bool:
        with suppress(Outage):
            return bool(await whole.db.fetchval("SELECT 1"))
        return False

    await eventually(look, "the test's own pool is whole")


async def _counted(whole: Whole, roadmap_id: str) -> set[tuple[int, int]]:
    """Failures and crashes of the pieces."""
    return {(piece["failures"], piece["crashes"]) for piece in await rows(whole.db, PIECES, roadmap_id)}
