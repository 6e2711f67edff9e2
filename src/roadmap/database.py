"""The one asyncpg pool of a process, and the only way to it: a statement, or a short transaction."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import urlsplit

import asyncpg
import orjson
import structlog

from roadmap.errors import Misconfigured, Outage

__all__ = ["Connection", "Database", "Executor", "Pool", "Row", "like_pattern", "open_database"]
__all__ += ["place_of", "say_away"]

log = structlog.get_logger()

T = TypeVar("T")

CONNECT_WAIT = 60.0  # seconds for which PostgreSQL may still be starting
MOST_ASKING = 2_000  # who have a connection of the pool, or wait for one
Row = asyncpg.Record
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
RawPool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

# A fault of the way to the server, or of the server itself: nothing that the statement could be blamed for.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, in the middle of a failover
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.LockNotAvailableError,
)
# An address or a name that will not be better for waiting.
_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError, FileNotFoundError)
# The transaction lost against another one and may simply be tried again.
_LOST_RACE = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)


class Executor(Protocol):
    """What a store function needs: a Database (one statement) or a transaction's connection."""

    async def fetch(self, query: str, *args: Any) -> list[Row]: ...
    async def fetchrow(self, query: str, *args: Any) -> Row | None: ...
    async def fetchval(self, query: str, *args: Any) -> Any: ...
    async def execute(self, query: str, *args: Any) -> str: ...


@dataclass(frozen=True, slots=True)
class Pool:
    """How a process connects. Times in seconds. `reserved` of its connections are for `Database.urgent` alone."""

    url: str
    size: int
    name: str
    reserved: int = 0
    behind_transaction_pooler: bool = False
    acquire_timeout: float = 5.0
    statement_timeout: float = 15.0


class Database:
    """Runs single statements and short transactions. Raises Outage when PostgreSQL is away or the pool stays full.

    `urgent` is the same pool, for what must not wait until others give their connections back: one that may be stuck
    behind a lock for seconds. It is the database itself where nothing is reserved.
    """

    def __init__(self, pool: RawPool, acquire_timeout: float, reserved: int = 0) -> None:
        self._pool = pool
        self._acquire_timeout = acquire_timeout
        self._asking = 0
        self._free = asyncio.Semaphore(pool.get_max_size() - reserved)
        self.urgent: Database = Database(pool, acquire_timeout) if reserved else self

    async def fetch(self, query: str, *args: Any) -> list[Row]:
        return await self._run(lambda connection: connection.fetch(query, *args))

    async def fetchrow(self, query: str, *args: Any) -> Row | None:
        return await self._run(lambda connection: connection.fetchrow(query, *args))

    async def fetchval(self, query: str, *args: Any) -> Any:
        return await self._run(lambda connection: connection.fetchval(query, *args))

    async def execute(self, query: str, *args: Any) -> str:
        return await self._run(lambda connection: connection.execute(query, *args))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction for a few statements. Await nothing but the database inside (promise P6)."""
        async with self._connection() as connection, connection.transaction():
            yield connection

    @property
    def size(self) -> int:
        """Connections that there may be."""
        return self._pool.get_max_size()

    def waiting(self) -> int:
        """Who asked for a connection and has none yet."""
        return max(self._asking - self.usage()[1], 0)

    def usage(self) -> tuple[int, int]:
        """Connections open, and of these in use."""
        size = self._pool.get_size()
        return size, size - self._pool.get_idle_size()

    async def _run(self, statement: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._connection() as connection:
            return await statement(connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._asking >= MOST_ASKING:
            raise Outage("too many wait for the database", retry_in=2)
        self._asking += 1
        try:
            async with self._turn(), self._pool.acquire(timeout=self._acquire_timeout) as connection:
                yield connection
        except _LOST_RACE as exc:
            raise Outage("another transaction was in the way", retry_in=0.1) from exc
        except _AWAY as exc:
            raise Outage("the database does not answer", retry_in=2) from exc
        finally:
            self._asking -= 1

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Raises TimeoutError. Who has its turn finds a connection, unless something urgent holds more than its own."""
        async with asyncio.timeout(self._acquire_timeout):
            await self._free.acquire()
        try:
            yield
        finally:
            self._free.release()


def like_pattern(text: str | None) -> str | None:
    """What LIKE and ILIKE look for to find `text` anywhere, letter by letter; None when there is nothing to find."""
    if not text:
        return None
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


@asynccontextmanager
async def open_database(pool: Pool) -> AsyncIterator[Database]:
    """Connects, waiting with back-off while PostgreSQL is still starting; closes within 5 s.

    Raises Misconfigured for an address that cannot be right, Outage when nobody answers for a minute.
    """
    raw = await _connect(pool)
    try:
        yield Database(raw, pool.acquire_timeout, pool.reserved)
    finally:
        await _close(raw)


async def _connect(pool: Pool) -> RawPool:
    pause, deadline = 0.1, asyncio.get_running_loop().time() + CONNECT_WAIT
    while True:
        try:
            return await _create(pool)
        except (ValueError, *_REFUSED) as exc:
            raise Misconfigured(f"DATABASE_URL cannot be used: {exc}") from exc
        except _AWAY as exc:
            if _meets_a_pooler(exc):
                raise Misconfigured(f"a pooler is in front ({exc}): set DB_POOLER=transaction") from exc
            if asyncio.get_running_loop().time() > deadline:
                raise Outage(say_away(pool.url, exc)) from exc
            log.warning("database_away", place=place_of(pool.url), error=type(exc).__name__, retry_in=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5)


def _meets_a_pooler(exc: Exception) -> bool:
    """PgBouncer has one code for whatever it refuses, and most of that passes."""
    return isinstance(exc, asyncpg.ProtocolViolationError) and "startup parameter" in str(exc)


def say_away(url: str, error: Exception) -> str:
    """For a person, who has waited for it."""
    if isinstance(error, socket.gaierror):
        return f"the name of {place_of(url)} does not resolve: check DATABASE_URL"
    return f"PostgreSQL does not answer at {place_of(url)}: check DATABASE_URL"


def place_of(url: str) -> str:
    """Host and port, which may be told; the rest of the URL may not."""
    return urlsplit(url).netloc.rpartition("@")[2] or "the local socket"


async def _create(pool: Pool) -> RawPool:
    return await asyncpg.create_pool(
        pool.url,
        min_size=1,
        max_size=pool.size,
        timeout=10,
        # The server ends a statement first, where it may be told how long one may take.
        command_timeout=pool.statement_timeout + (0 if pool.behind_transaction_pooler else 5),
        max_inactive_connection_lifetime=240,
        statement_cache_size=0 if pool.behind_transaction_pooler else 200,
        init=partial(_prepare_session, pool),
        reset=_keep_session,
        server_settings=_session(pool),
    )


def _session(pool: Pool) -> dict[str, str]:
    # A transaction-mode pooler refuses start-up parameters that it does not know.
    if pool.behind_transaction_pooler:
        return {"application_name": pool.name}
    return {
        "application_name": pool.name,
        "timezone": "UTC",
        "statement_timeout": str(int(pool.statement_timeout * 1000)),
        # A process that froze in a transaction holds its run's lock: others wait for it, with all of their pools.
        "idle_in_transaction_session_timeout": "3000",
        "jit": "off",
    }


# To PostgreSQL a process that freezes between the messages of one statement is not idle, and no other time-out ends it:
# only this one, which there is since version 17, takes its locks away.
LIMIT_TRANSACTIONS = """
SELECT set_config('transaction_timeout', $1, false)
"""


async def _prepare_session(pool: Pool, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    if connection.get_server_version().major >= 17 and not pool.behind_transaction_pooler:
        await connection.execute(LIMIT_TRANSACTIONS, f"{int((pool.statement_timeout + 2) * 1000)}ms")
    await _use_orjson(connection)


async def _use_orjson(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_dump, decoder=orjson.loads, format="text")


def _dump(value: object) -> str:
    return orjson.dumps(value).decode()


async def _keep_session(_connection: object) -> None:
    """Spares the reset query of every release: no statement of ours changes the session."""


async def _close(pool: RawPool) -> None:
    try:
        await asyncio.wait_for(pool.close(), timeout=5)
    except TimeoutError:
        pool.terminate()
