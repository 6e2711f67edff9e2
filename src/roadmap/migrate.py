"""Brings a database to the schema of this release: numbered SQL files, forward only, one transaction each.

A file `NNNN_name.sql` whose first line is `-- no-transaction` runs outside one (CREATE INDEX CONCURRENTLY). It must
hold a single statement that may run twice, since a crash can part it from its line in `schema_migrations`.
A database that is newer than the code is welcome: old processes live on while the next release rolls out.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import asyncpg
import structlog

from roadmap.database import Executor, place_of, say_away
from roadmap.errors import Misconfigured, Outage

__all__ = ["Applied", "Migration", "Status", "dry_run", "find_folder", "migrate", "pending", "read_migrations"]
__all__ += ["require_schema", "status"]

log = structlog.get_logger()

LOCK_WAIT = 120.0  # seconds for which another process may be migrating
CONNECT_WAIT = 60.0  # seconds for which PostgreSQL may still be starting
STATEMENT_LIMIT = 3600.0  # seconds for one file; an index of a large table takes its time
LOCK_TRIES = 12  # a busy table refuses its lock after 5 s; queueing longer would block its readers behind us

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK = int.from_bytes(b"roadmap")
_STARTING = (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError)
_LOST = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError)
_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `name` is the file's, without `.sql`; line ends do not count in the checksum."""

    version: int
    name: str
    sql: str
    sha256: str

    @property
    def in_transaction(self) -> bool:
        return not self.sql.startswith("-- no-transaction")


@dataclass(frozen=True, slots=True)
class Applied:
    """One line of `schema_migrations`."""

    version: int
    name: str
    sha256: str
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class Status:
    """`unknown` was applied by a newer release."""

    applied: tuple[Applied, ...]
    pending: tuple[Migration, ...]
    unknown: tuple[Applied, ...]


async def migrate(url: str, folder: Path | None = None) -> list[str]:
    """Applies what is missing and returns its names; touches nothing when the schema is current.

    Raises Misconfigured when an applied file has changed, Outage when PostgreSQL or the lock does not come.
    """
    migrations = read_migrations(folder)
    async with _connect(url) as connection:
        if not _compare(migrations, await _read_applied(connection)).pending:
            return []
        await _take_lock(connection)
        await connection.execute(CREATE_TABLE)
        missing = _compare(migrations, await _read_applied(connection)).pending
        for migration in missing:
            await _apply(connection, migration)
    return [migration.name for migration in missing]


async def status(source: Executor | str, folder: Path | None = None) -> Status:
    """What is applied and what is missing, at a URL or through an open Database. Changes nothing."""
    migrations = read_migrations(folder)
    if not isinstance(source, str):
        return _compare(migrations, await _read_applied(source))
    async with _connect(source) as connection:
        return _compare(migrations, await _read_applied(connection))


async def pending(source: Executor | str, folder: Path | None = None) -> list[str]:
    """The names of what `migrate` would apply."""
    return [migration.name for migration in (await status(source, folder)).pending]


async def dry_run(url: str, folder: Path | None = None) -> str:
    """The SQL that `migrate` would run, in order, each file under a line with its name; empty when current."""
    missing = (await status(url, folder)).pending
    return "\n".join(f"-- {migration.name}\n{migration.sql.rstrip()}\n" for migration in missing)


async def require_schema(db: Executor, folder: Path | None = None) -> None:
    """Raises Misconfigured when the schema lacks a migration that this code brings. A newer schema is fine."""
    if missing := await pending(db, folder):
        raise Misconfigured(f"the database lacks {', '.join(missing)}: run `roadmap migrate`")


def find_folder() -> Path:
    """Where the SQL lies: inside the installed package, or beside `src` in a checkout."""
    package = Path(__file__).parent
    for folder in (package / "migrations", package.parents[1] / "migrations"):
        if folder.is_dir():
            return folder
    raise Misconfigured("this installation has no migrations folder")


def read_migrations(folder: Path | None = None) -> list[Migration]:
    """The files in order. Raises Misconfigured for a name of the wrong form and for a number used twice."""
    migrations = [_read(path) for path in sorted((folder or find_folder()).glob("*.sql"))]
    for earlier, later in pairwise(migrations):
        if earlier.version == later.version:
            raise Misconfigured(f"migrations {earlier.name} and {later.name} share a number")
    return migrations


def _read(path: Path) -> Migration:
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise Misconfigured(f"migration {path.name} is not named like 0001_first.sql")
    sql = path.read_text(encoding="utf-8")
    return Migration(int(match[1]), path.stem, sql, hashlib.sha256(sql.encode()).hexdigest())


def _compare(migrations: Sequence[Migration], applied: Sequence[Applied]) -> Status:
    done = {line.version: line for line in applied}
    known = {migration.version for migration in migrations}
    for migration in migrations:
        line = done.get(migration.version)
        if line is not None and line.sha256 != migration.sha256:
            raise Misconfigured(f"migration {migration.name} was changed after it was applied; write a new one instead")
    return Status(
        applied=tuple(applied),
        pending=tuple(migration for migration in migrations if migration.version not in done),
        unknown=tuple(line for line in applied if line.version not in known),
    )


CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""

READ_APPLIED = "SELECT version, name, sha256, applied_at FROM schema_migrations ORDER BY version"


async def _read_applied(db: Executor) -> list[Applied]:
    try:
        rows = await db.fetch(READ_APPLIED)
    except asyncpg.UndefinedTableError:
        return []
    return [Applied(row["version"], row["name"], row["sha256"], row["applied_at"]) for row in rows]


INSERT_APPLIED = "INSERT INTO schema_migrations (version, name, sha256) VALUES ($1, $2, $3)"


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    """Runs one file. A database error names the file in a note; Outage when a table stays locked by others."""
    for tries_left in reversed(range(LOCK_TRIES)):
        try:
            await _run(connection, migration)
        except asyncpg.LockNotAvailableError as exc:
            log.warning("migration_waits_for_lock", migration=migration.name)
            if not tries_left:
                raise Outage(f"migration {migration.name} did not get its lock: a long transaction holds it") from exc
            await asyncio.sleep(1)
        except _LOST as exc:
            raise Outage(f"the connection was lost in migration {migration.name}: run it again") from exc
        except asyncpg.PostgresError as exc:
            exc.add_note(f"in migration {migration.name}")
            raise
        else:
            log.info("migration_applied", migration=migration.name)
            return


# An index whose making was broken off stays, is kept up to date and never used; IF NOT EXISTS would take it for made.
HALF_MADE = """
SELECT format('DROP INDEX CONCURRENTLY IF EXISTS %s', indexrelid::regclass)
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE NOT indisvalid AND relnamespace = current_schema()::regnamespace AND $1 ~ ('\\m' || relname || '\\M')
"""


async def _run(connection: asyncpg.Connection, migration: Migration) -> None:
    line = (migration.version, migration.name, migration.sha256)
    if migration.in_transaction:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(INSERT_APPLIED, *line)
        return
    for row in await connection.fetch(HALF_MADE, migration.sql):
        await connection.execute(row[0])
    await connection.execute(migration.sql)
    await connection.execute(INSERT_APPLIED, *line)


@asynccontextmanager
async def _connect(url: str) -> AsyncIterator[asyncpg.Connection]:
    # One session from start to end: the advisory lock belongs to it and goes with it.
    connection = await _open(url)
    try:
        yield connection
    finally:
        try:
            await connection.close(timeout=5)
        except (OSError, TimeoutError):
            connection.terminate()


async def _open(url: str) -> asyncpg.Connection:
    pause, deadline = 1.0, asyncio.get_running_loop().time() + CONNECT_WAIT
    while True:
        try:
            return await asyncpg.connect(
                url,
                timeout=10,
                command_timeout=STATEMENT_LIMIT,
                statement_cache_size=0,
                server_settings={"application_name": "roadmap-migrate", "lock_timeout": "5000", "timezone": "UTC"},
            )
        except _REFUSED as exc:
            raise Misconfigured(f"PostgreSQL refuses the connection: {exc}") from exc
        except _STARTING as exc:
            if asyncio.get_running_loop().time() > deadline:
                raise Outage(say_away(url, exc)) from exc
            log.warning("database_away", place=place_of(url), error=type(exc).__name__, retry_in=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5)


TRY_LOCK = """
SELECT pg_try_advisory_lock($1)
"""


async def _take_lock(connection: asyncpg.Connection) -> None:
    # Polled, not waited for: a waiting pg_advisory_lock() holds a snapshot, and with it CREATE INDEX CONCURRENTLY.
    deadline = asyncio.get_running_loop().time() + LOCK_WAIT
    while not await connection.fetchval(TRY_LOCK, _LOCK):
        if asyncio.get_running_loop().time() > deadline:
            raise Outage("another process has been migrating this database for too long")
        await asyncio.sleep(0.2)
