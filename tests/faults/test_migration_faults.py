"""F28: `roadmap migrate` as the release step runs it, twice at once, and killed half-way through each of its files."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from pooler import direct
from stack import PROGRAM, Child, Stack, open_stack
from waiting import eventually

from roadmap.migrate import Migration, read_migrations

COMMAND = (str(PROGRAM), "migrate")
CREATED = re.compile(r"^CREATE (?:TABLE|INDEX|UNIQUE INDEX) (?!CONCURRENTLY)(\w+)", re.MULTILINE)
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"
BLOCKED = f"{SESSIONS} AND wait_event_type = 'Lock'"
HALF_MADE = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'roadmap-migrate'
"""
APPLIED = "SELECT version, name, sha256 FROM schema_migrations ORDER BY version"
# Columns, their defaults, constraints, indexes and functions: all that the files make.
SCHEMA = """
SELECT 'column' AS kind, attrelid::regclass::text AS place, attname::text AS name,
    format_type(atttypid, atttypmod) || ' ' || attnotnull || ' ' || coalesce(pg_get_expr(adbin, adrelid), '') AS made
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND relkind IN ('r', 'p')
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) || convalidated
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'index', indrelid::regclass::text, relname, pg_get_indexdef(indexrelid) || indisvalid
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT 'function', '', proname, md5(prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
ORDER BY 1, 2, 3
"""


def _last_made(migration: Migration) -> str | None:
    """The last table or index that a file makes: whoever stands there has half of the file behind them, or more."""
    names = CREATED.findall(migration.sql)
    return names[-1] if names else None


MIGRATIONS = read_migrations()
FILES = [migration.name for migration in MIGRATIONS]
APPLIES = re.compile(r"^applied (\w+)$", re.MULTILINE)
# Each takes its seconds, and they are all alike.
PLACES = [
    pytest.param(migration.name, place, id=migration.name, marks=[pytest.mark.slow] if number else [])
    for number, migration in enumerate(MIGRATIONS)
    if (place := _last_made(migration))
]


@pytest.fixture
async def empty_url(database_url: str) -> AsyncIterator[str]:
    """A database without a schema."""
    name = f"empty_{uuid4().hex}"
    admin = await asyncpg.connect(direct(database_url))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield urlsplit(direct(database_url))._replace(path=f"/{name}").geturl()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def release(tmp_path: Path, empty_url: str, redis_url: str) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path, empty_url, redis_url) as stack:
        yield stack


@pytest.fixture
async def onlooker(empty_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_url)
    yield connection
    await connection.close()


@asynccontextmanager
async def obstacle(url: str, name: str) -> AsyncIterator[None]:
    """A relation of this name that is not committed: whoever wants to make one waits to see what becomes of it. In the
    end it has never been there."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"BEGIN; CREATE TABLE {name} (obstacle int)")
        yield
        await connection.execute("ROLLBACK")
    finally:
        await connection.close()


@asynccontextmanager
async def old_look(url: str) -> AsyncIterator[None]:
    """A transaction that looked at the database: an index that is made beside the others' work waits for its end."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT")
        yield
    finally:
        await connection.close()


async def migrating(release: Stack, name: str) -> Child:
    return await release.launch(name, command=COMMAND)


async def stands(onlooker: asyncpg.Connection, *, sessions: int = 1) -> None:
    """So many are there, and one of them stands before the obstacle."""

    async def look() -> bool:
        there = await onlooker.fetchval(SESSIONS, "roadmap-migrate")
        return there == sessions and await onlooker.fetchval(BLOCKED, "roadmap-migrate") == 1

    await eventually(look, f"{sessions} migrate, and one stands still")


async def check_current(onlooker: asyncpg.Connection, database_url: str) -> None:
    """It is what a migration makes that nobody disturbs."""
    undisturbed = await asyncpg.connect(direct(database_url))
    try:
        for query in (APPLIED, SCHEMA):
            assert await onlooker.fetch(query) == await undisturbed.fetch(query)
    finally:
        await undisturbed.close()


@pytest.mark.fault("F28")
async def test_of_two_migrations_at_once_one_applies_everything_and_the_other_nothing(
    release: Stack, onlooker: asyncpg.Connection, empty_url: str, database_url: str
) -> None:
    async with obstacle(empty_url, "content"):
        first = await migrating(release, "migrate:first")
        await stands(onlooker)
        second = await migrating(release, "migrate:second")
        await stands(onlooker, sessions=2)
    assert await asyncio.gather(first.exits(), second.exits()) == [0, 0]
    assert re.findall(APPLIES, first.text()) == FILES
    assert re.findall(APPLIES, second.text()) == []
    await check_current(onlooker, database_url)


@pytest.mark.fault("F28")
async def test_who_waits_for_a_migration_that_is_killed_takes_it_over(
    release: Stack, onlooker: asyncpg.Connection, empty_url: str, database_url: str
) -> None:
    async with obstacle(empty_url, "content"):
        await migrating(release, "migrate:first")
        await stands(onlooker)
        second = await migrating(release, "migrate:second")
        await stands(onlooker, sessions=2)
        await release.kill("migrate:first")
    assert await second.exits(within=60) == 0
    assert re.findall(APPLIES, second.text()) == FILES
    await check_current(onlooker, database_url)


@pytest.mark.fault("F28")
@pytest.mark.parametrize(("file", "place"), PLACES)
async def test_a_migration_that_is_killed_half_way_through_a_file_converges_when_it_is_run_again(
    file: str, place: str, release: Stack, onlooker: asyncpg.Connection, empty_url: str, database_url: str
) -> None:
    async with obstacle(empty_url, place):
        await migrating(release, "migrate:first")
        await stands(onlooker)
        await release.kill("migrate:first")
    again = await migrating(release, "migrate:again")
    assert await again.exits(within=60) == 0
    assert re.findall(APPLIES, again.text()) == FILES[FILES.index(file) :]
    await check_current(onlooker, database_url)


@pytest.mark.slow
@pytest.mark.fault("F28")
@pytest.mark.parametrize("how", ["killed", "kept waiting"])
async def test_an_index_that_was_half_made_is_made_anew(
    how: str, release: Stack, onlooker: asyncpg.Connection, empty_url: str, database_url: str
) -> None:
    async def is_half_made() -> bool:
        return bool(await onlooker.fetchval(HALF_MADE))

    async with old_look(empty_url):
        first = await migrating(release, "migrate:first")
        await eventually(is_half_made, "an index waits for who has looked before it")
        if how == "killed":
            await release.kill("migrate:first")
            await onlooker.fetch(TERMINATE)  # it would not notice before the index is made
            assert await is_half_made()
        else:
            await eventually(lambda: "migration_waits_for_lock" in first.text(), "it gives way", within=30)
    again = await migrating(release, "migrate:again")
    assert await again.exits(within=60) == 0
    await check_current(onlooker, database_url)
