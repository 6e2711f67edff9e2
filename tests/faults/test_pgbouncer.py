"""PgBouncer in transaction mode in front: a whole stack comes up, works, is killed and heals behind four sessions.

The tests of everything else go through one with TEST_POOLER=pgbouncer (pooler.py).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from pooler import direct, pgbouncer, through
from stack import open_stack
from visitor import lived_through
from waiting import eventually
from whole import Whole, check_queues, offline, open_whole

from roadmap.database import Pool, open_database
from roadmap.errors import Misconfigured, Outage

pytestmark = pytest.mark.fault("F18")

SESSIONS = 4
KILLED = 4  # PostgreSQL takes a moment to see that the sessions of a killed worker are gone
OPEN = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'roadmap-%'
"""

END_ALL = OPEN.replace("count(*)", "count(pg_terminate_backend(pid))")


@pytest.fixture
async def empty_url(database_url: str, admin: asyncpg.Connection) -> AsyncIterator[str]:
    """A database without a schema. Far from UTC, where each of our sessions would be at home without a pooler."""
    name = "behind_pgbouncer"
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Shanghai'")
    yield direct(database_url).rpartition("/")[0] + f"/{name}"
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def whole(tmp_path: Path, servers_folder: Path, empty_url: str, redis_url: str) -> AsyncIterator[Whole]:
    """Migrated by `roadmap migrate`, and served by all three processes."""
    async with pgbouncer(servers_folder / "four", empty_url, size=SESSIONS) as place:
        url = through(empty_url, place)
        settings = {"DB_POOLER": "transaction", "DATABASE_UNPOOLED_URL": empty_url, "AUTH_MODE": "none"}
        migrating = open_stack(tmp_path, url, redis_url, **settings)
        async with migrating as stack:
            assert await (await stack.launch("migrate")).exits() == 0
        async with open_whole(tmp_path, url, redis_url, CONTENT_CONCURRENCY="5", **settings) as opened:
            opened.model.default = offline(0.1)
            await opened.stack.start("web", "content", "content:second", "logs")
            yield opened


@asynccontextmanager
async def never_more_than(sessions: int, url: str) -> AsyncIterator[None]:
    """Of ours with PostgreSQL, looked at all the time while the block runs."""
    samples: list[int] = []

    async def sample(connection: asyncpg.Connection) -> None:
        while True:
            samples.append(await connection.fetchval(OPEN))
            await asyncio.sleep(0.05)

    connection = await asyncpg.connect(url)
    try:
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(sample(connection))
            yield
            sampling.cancel()
    finally:
        connection.terminate()
    assert 0 < max(samples) <= sessions


async def test_a_whole_stack_works_behind_four_sessions_and_loses_nothing_to_kills(
    whole: Whole, empty_url: str
) -> None:
    async with never_more_than(SESSIONS + KILLED, empty_url), lived_through(whole, bound=5, whole_log=False):
        await whole.create()
        await whole.ready(8)
        await whole.stack.kill("content:second")
        await whole.stack.start("content:second")
        await whole.ready(20)
    await check_queues(whole.redis)


@pytest.mark.slow
async def test_sessions_that_the_pooler_loses_fail_no_request_and_no_run(whole: Whole, empty_url: str) -> None:
    await whole.create()
    connection = await asyncpg.connect(empty_url)
    async with lived_through(whole, bound=5):
        for count in (4, 10, 16):
            await eventually(lambda n=count: _ready(connection, n), f"{count} pieces are ready")  # type: ignore[misc]
            await connection.execute(END_ALL)
    connection.terminate()


async def _ready(connection: asyncpg.Connection, count: int) -> bool:
    found: int = await connection.fetchval("SELECT count(*) FROM content WHERE status = 'ready'")
    return found >= count


async def test_a_pooler_that_nobody_told_us_of_is_named_at_the_start(servers_folder: Path, database_url: str) -> None:
    async with pgbouncer(servers_folder / "unknown", direct(database_url)) as place:
        unaware = Pool(through(direct(database_url), place), size=1, name="test")
        with pytest.raises(Misconfigured, match="DB_POOLER=transaction"):
            async with asyncio.timeout(10), open_database(unaware):
                pass


async def test_a_statement_behind_a_pooler_ends_with_its_time_and_hands_its_session_back(
    servers_folder: Path, database_url: str
) -> None:
    async with pgbouncer(servers_folder / "one", direct(database_url), size=1) as place:
        url = through(direct(database_url), place)
        one = Pool(url, size=2, name="test", behind_transaction_pooler=True, statement_timeout=0.5)
        async with open_database(one) as db:
            with pytest.raises(Outage):
                await db.execute("SELECT pg_sleep(60)")
            assert await db.fetchval("SELECT 1") == 1
