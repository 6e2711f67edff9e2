"""The pool against a real PostgreSQL, behind a forwarder that can go away."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from pooler import direct
from structlog.testing import capture_logs

from roadmap.database import Database, Pool, open_database, say_away
from roadmap.embedded.servers import LocalServers
from roadmap.errors import Misconfigured, Outage


class Forwarder:
    """Passes bytes between a port of its own and PostgreSQL, while it is open."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuses new connections, and cuts those that there are."""
        if self._server is not None:
            self._server.close()
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._talk(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        try:
            await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        finally:
            writer.transport.abort()
            far_writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while received := await reader.read(65_536):
            writer.write(received)
            await writer.drain()
    writer.transport.abort()


@pytest.fixture
def database_url(database_url: str) -> str:
    """Past the pooler, if the session has one: these tests are about sessions of our own."""
    return direct(database_url)


@pytest.fixture
async def forwarder(servers: LocalServers) -> AsyncIterator[Forwarder]:
    parts = urlsplit(servers.database_url)
    made = Forwarder(parts.hostname or "127.0.0.1", parts.port or 5432)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def forwarded_url(database_url: str, forwarder: Forwarder) -> str:
    parts = urlsplit(database_url)
    account = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{account}@127.0.0.1:{forwarder.port}").geturl()


def pool(url: str, size: int = 1, **more: Any) -> Pool:
    return Pool(url, size=size, name="test", **more)


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def works(db: Database, at_once: int) -> bool:
    """Whether that many statements run at the same time."""
    met = asyncio.Barrier(at_once)

    async def meet() -> int:
        async with db.transaction() as tx:
            await met.wait()
            return int(await tx.fetchval("SELECT 1"))

    async with asyncio.timeout(10):
        return await asyncio.gather(*(meet() for _ in range(at_once))) == [1] * at_once


@pytest.mark.fault("F17")
async def test_a_full_pool_is_an_outage_and_no_endless_wait(database_url: str) -> None:
    async with open_database(pool(database_url, acquire_timeout=0.05)) as db:
        async with db.transaction():
            with pytest.raises(Outage) as caught:
                await db.fetchval("SELECT 1")
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert await db.fetchval("SELECT 1") == 1


@pytest.mark.fault("F14")
async def test_thousands_who_wait_for_a_connection_are_not_joined_by_more(
    database: Database, database_url: str
) -> None:
    # Not of the pool, whose transactions end when they are idle: on a busy machine the crowd takes its time.
    locker = await asyncpg.connect(database_url)
    await locker.execute("BEGIN; LOCK TABLE installation IN ACCESS EXCLUSIVE MODE")
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(_look(database)) for _ in range(2_100)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        refused = [task for task in waiting if task.done()]
        assert {str(task.result()) for task in refused} == {"too many wait for the database"}
        assert len(refused) == 100
        for task in waiting:
            task.cancel()
    await locker.execute("COMMIT")
    locker.terminate()
    assert await _look(database) is True


async def _look(database: Database) -> bool | Outage:
    try:
        return bool(await database.fetchval("SELECT true FROM installation"))
    except Outage as exc:
        return exc


async def test_while_the_server_is_away_every_statement_is_an_outage_and_afterwards_none(
    forwarder: Forwarder, forwarded_url: str
) -> None:
    async with open_database(pool(forwarded_url, size=2)) as db:
        assert await works(db, 2)
        await forwarder.close()
        for _ in range(4):
            with pytest.raises(Outage):
                await db.fetchval("SELECT 1")
        await forwarder.open()
        assert await works(db, 2)


@pytest.mark.fault("F14")
async def test_a_server_that_goes_away_in_the_middle_of_a_transaction_is_an_outage(
    forwarder: Forwarder, forwarded_url: str
) -> None:
    async def work(db: Database) -> None:
        async with db.transaction() as tx:
            await tx.execute("SELECT 1")
            await forwarder.close()
            await tx.execute("SELECT 2")

    async with open_database(pool(forwarded_url)) as db:
        with pytest.raises(Outage):
            await work(db)


async def test_a_server_that_still_starts_is_waited_for(forwarder: Forwarder, forwarded_url: str) -> None:
    await forwarder.close()

    async def connect() -> Any:
        async with open_database(pool(forwarded_url)) as db:
            return await db.fetchval("SELECT 1")

    with capture_logs() as told:
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(connect())
            await eventually(lambda: len(told) >= 2)
            await forwarder.open()
    assert answer.result() == 1
    assert {line["event"] for line in told} == {"database_away"}
    assert told[1]["retry_in"] == 2 * told[0]["retry_in"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "the name of db:5432 does not resolve: check DATABASE_URL"),
        (ConnectionRefusedError(), "PostgreSQL does not answer at db:5432: check DATABASE_URL"),
    ],
)
def test_a_name_that_does_not_resolve_is_told_from_a_server_that_does_not_answer(error: Exception, said: str) -> None:
    assert say_away("postgresql://roadmap:a-secret@db:5432/roadmap", error) == said


@pytest.mark.parametrize(
    "statement", ["SELECT pg_terminate_backend(pg_backend_pid())", "SET statement_timeout = 1; SELECT pg_sleep(9)"]
)
@pytest.mark.fault("F15")
async def test_a_statement_that_the_server_ends_is_an_outage(database_url: str, statement: str) -> None:
    async with open_database(pool(database_url)) as db:
        with pytest.raises(Outage) as caught:
            await db.execute(statement)
    assert caught.value.retry_in == 2


@pytest.mark.fault("F16")
async def test_a_transaction_that_loses_a_race_may_be_tried_at_once(database: Database) -> None:
    with pytest.raises(Outage) as caught:
        await database.execute("DO $$ BEGIN RAISE deadlock_detected; END $$")

    assert caught.value.retry_in == 0.1


@pytest.mark.parametrize(
    ("statement", "arguments", "error"),
    [
        ("SELECT nonsense", (), asyncpg.UndefinedColumnError),
        ("SELECT $1::int", ("text",), asyncpg.DataError),
        ("SELECT 1/0", (), asyncpg.DivisionByZeroError),
    ],
)
@pytest.mark.fault("F16")
async def test_a_statement_that_is_wrong_is_a_bug_and_no_outage(
    database: Database, statement: str, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await database.fetchval(statement, *arguments)


async def two_statements(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("SELECT pg_sleep(0.005)")
        await tx.execute("SELECT pg_sleep(0.005)")


async def strike(work: Awaitable[object], chance: random.Random) -> None:
    """Cancels the work somewhere, and a little later again, in the middle of its rollback."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(chance.uniform(0, 0.02))
    task.cancel()
    await asyncio.sleep(chance.choice((0, 0.001)))
    task.cancel()
    with suppress(asyncio.CancelledError, Outage):
        await task


async def test_canceling_statements_anywhere_leaves_the_pool_whole(database: Database) -> None:
    chance = random.Random(7)
    await works(database, 5)
    statements = [database.fetchval("SELECT pg_sleep(0.01)") for _ in range(50)]
    transactions = [two_statements(database) for _ in range(50)]

    await asyncio.gather(*(strike(work, chance) for work in [*statements, *transactions]))

    await eventually(lambda: database.usage()[1] == 0)
    assert database.usage()[0] <= 5
    assert await works(database, 5)
    assert database.usage() == (5, 0)
    active = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
    assert await database.fetchval(active) == 1, "only this statement itself"


@pytest.mark.fault("F17")
async def test_fifty_tasks_share_four_connections(database_url: str) -> None:
    async with open_database(pool(database_url, size=4, acquire_timeout=5)) as db:
        answers = await asyncio.gather(*(db.fetchval("SELECT $1::int FROM pg_sleep(0.01)", n) for n in range(50)))

        assert answers == list(range(50))
        assert db.usage() == (4, 0)


@pytest.mark.parametrize("value", [{"a": [1, None, "ä"]}, [], ["x"], "text", "", None, True, 7, 1.5, {}])
async def test_json_comes_back_as_it_went_in(database: Database, value: object) -> None:
    row = await database.fetchrow("SELECT $1::jsonb AS one, ARRAY[$1::jsonb] AS many", value)

    assert row is not None
    assert (row["one"], row["many"]) == (value, [value])


async def test_sql_null_and_the_null_of_json_are_both_none(database: Database) -> None:
    assert await database.fetchval("SELECT $1::jsonb IS NULL", None)
    assert await database.fetchval("SELECT 'null'::jsonb") is None


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    async def mark(number: int, error: Exception | None) -> None:
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO marks VALUES ($1)", number)
            if error is not None:
                raise error

    await database.execute("CREATE TABLE marks (mark int)")
    with pytest.raises(KeyError):
        await mark(1, KeyError())
    await mark(2, None)
    assert await database.fetch("SELECT mark FROM marks") == [(2,)]


@pytest.mark.fault("F18")
async def test_behind_a_pooler_no_statement_stays_prepared(database_url: str) -> None:
    async with open_database(pool(database_url, behind_transaction_pooler=True)) as db:
        for number in range(3):
            assert await db.fetchval("SELECT $1::jsonb", {"n": number}) == {"n": number}
        async with db.transaction() as tx:
            assert await tx.fetchval("SELECT $1::uuid[] IS NOT NULL", [])

        assert await db.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0
        assert await db.fetchval("SELECT setting FROM pg_settings WHERE name = 'application_name'") == "test"


async def test_without_a_pooler_the_session_has_our_limits(database: Database) -> None:
    settings_now = await database.fetchrow(
        """SELECT current_setting('timezone') AS zone, current_setting('statement_timeout') AS longest,
                  current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('jit') AS jit"""
    )
    assert settings_now is not None
    assert dict(settings_now) == {"zone": "UTC", "longest": "15s", "idle": "3s", "jit": "off"}


async def test_a_returned_connection_carries_no_transaction_and_no_local_setting(database_url: str) -> None:
    async def fail(db: Database) -> None:
        async with db.transaction() as tx:
            await tx.execute("SET LOCAL work_mem = '1MB'")
            await tx.execute("SELECT 1/0")

    async with open_database(pool(database_url)) as db:
        before = await db.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await fail(db)

        assert await db.fetchval("SELECT pg_backend_pid()") == before
        assert await db.fetchval("SELECT current_setting('work_mem') <> '1MB'")
        assert await db.fetchval("SELECT now()") < await db.fetchval("SELECT now()"), "no transaction is open"


async def test_an_address_that_asyncpg_refuses_is_misconfigured_and_not_waited_for() -> None:
    with pytest.raises(Misconfigured):
        async with asyncio.timeout(2), open_database(Pool("postgresql://u@127.0.0.1:1/x?sslmode=bogus", 1, "x")):
            pass


async def test_a_database_that_does_not_exist_is_misconfigured(database_url: str) -> None:
    with pytest.raises(Misconfigured, match="does not exist"):
        async with asyncio.timeout(2), open_database(Pool(database_url + "_not", 1, "x")):
            pass


async def test_a_transaction_that_does_not_end_is_ended_and_its_locks_are_free(database_url: str) -> None:
    hasty = Pool(database_url, 2, "hasty", statement_timeout=0.1)
    async with open_database(hasty) as db:
        if await db.fetchval("SELECT current_setting('server_version_num')::int < 170000"):
            pytest.skip("PostgreSQL has transaction_timeout since 17")
        with pytest.raises((Outage, asyncpg.PostgresError)):
            async with db.transaction() as tx:
                await tx.execute("LOCK TABLE users")
                async with asyncio.timeout(20):
                    while not tx.is_closed():
                        await asyncio.sleep(0.05)
                await tx.execute("SELECT 1")
        assert await db.fetch("SELECT id FROM users") == []


@pytest.mark.fault("F17")
async def test_what_is_urgent_does_not_wait_for_a_connection(database_url: str) -> None:
    pool = Pool(url=database_url, size=2, name="roadmap-tests", reserved=1, acquire_timeout=0.3)
    async with open_database(pool) as db:
        async with db.transaction():
            with pytest.raises(Outage, match="does not answer"):
                await db.fetchval("SELECT 1")
            assert await db.urgent.fetchval("SELECT 1") == 1
        assert await db.fetchval("SELECT 1") == 1
