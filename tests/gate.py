"""Places inside PostgreSQL at which others stand still until a test lets them go on: processes are killed there.

async with commit_gate(database_url, "content_versions") as gate:
    await gate.close()
    await gate.reached()       # somebody has written rows, and has not committed
    await gate.open()

async with locked_table(database_url, "execution_log") as lock:
    await lock.reached()       # somebody wants to write, and has written nothing
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from pooler import direct
from waiting import eventually

__all__ = ["Gate", "Lock", "commit_gate", "locked_table"]

# A trigger of the whole statement: it fires when all rows of the statement are there.
INSTALL = """
CREATE FUNCTION pass_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1);
    RETURN NULL;
END
$$
"""
TRIGGER = "CREATE TRIGGER gate AFTER INSERT ON {} FOR EACH STATEMENT EXECUTE FUNCTION pass_the_gate()"
WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE locktype = 'advisory' AND objid = 1 AND NOT granted AND datname = current_database()
"""


class Gate:
    """Made by `commit_gate`; open at first. May be used by several tasks at once."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._free = asyncio.Lock()

    async def close(self) -> None:
        await self._ask("SELECT pg_advisory_lock(1)")

    async def open(self) -> None:
        await self._ask("SELECT pg_advisory_unlock_all()")

    async def reached(self, *, within: float = 40.0) -> None:
        await eventually(lambda: self._ask(WAITING), "a transaction stands before its commit", within=within)

    async def _ask(self, query: str) -> Any:
        async with self._free:
            return await self._connection.fetchval(query)


@asynccontextmanager
async def commit_gate(database_url: str, table: str) -> AsyncIterator[Gate]:
    """Install it before anybody writes: it needs the table for itself for a moment."""
    connection = await asyncpg.connect(direct(database_url))
    try:
        await connection.execute(INSTALL)
        await connection.execute(TRIGGER.format(table))
        yield Gate(connection)
    finally:
        await connection.close()


INSERTS_THAT_WAIT = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ ('^\\s*INSERT INTO ' || $1)
"""


class Lock:
    """Made by `locked_table`."""

    def __init__(self, connection: asyncpg.Connection, table: str) -> None:
        self._connection = connection
        self._table = table

    async def reached(self, *, within: float = 40.0) -> None:
        async def look() -> bool:
            await self._connection.execute("SELECT pg_stat_clear_snapshot()")  # a transaction would see the first only
            return bool(await self._connection.fetchval(INSERTS_THAT_WAIT, self._table))

        await eventually(look, f"an INSERT waits for {self._table}", within=within)


@asynccontextmanager
async def locked_table(database_url: str, table: str) -> AsyncIterator[Lock]:
    """Nobody else reads or writes the table while the block runs."""
    connection = await asyncpg.connect(direct(database_url))
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield Lock(connection, table)
    finally:
        await connection.close()
