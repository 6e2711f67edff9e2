"""PostgreSQL of itself: sessions, transactions, sizes; and what of the log has arrived in it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from roadmap.database import Executor
from roadmap.monitor.model.system import SessionCount, TableSize

__all__ = ["Letters", "Server", "count_lines", "find_letters", "find_newest", "find_server", "list_sessions"]
__all__ += ["list_tables"]


@dataclass(frozen=True, slots=True)
class Server:
    version: str
    size_bytes: int
    connections: int
    most_connections: int
    waiting_for_locks: int
    oldest_transaction_seconds: float | None


FIND_SERVER = """
SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS size_bytes,
       count(*)::int AS connections,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           AS most_connections,
       count(*) FILTER (WHERE wait_event_type = 'Lock')::int AS waiting_for_locks,
       extract(epoch FROM clock_timestamp() - min(xact_start)
           FILTER (WHERE usename = current_user AND pid <> pg_backend_pid()))::float AS oldest_transaction_seconds
FROM pg_stat_activity WHERE backend_type = 'client backend'
"""


async def find_server(db: Executor) -> Server:
    row = await db.fetchrow(FIND_SERVER)
    assert row is not None  # noqa: S101  an aggregate has one row
    return Server(**row)


# Of others nothing but their number is shown.
LIST_SESSIONS = """
SELECT application_name AS application, count(*) FILTER (WHERE state = 'active')::int AS active,
       count(*) FILTER (WHERE state = 'idle')::int AS idle,
       count(*) FILTER (WHERE state LIKE 'idle in transaction%')::int AS idle_in_transaction
FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename = current_user AND datname = current_database()
GROUP BY application_name ORDER BY count(*) DESC, application_name LIMIT 50
"""


async def list_sessions(db: Executor) -> list[SessionCount]:
    """Of our own role, in this database."""
    return [SessionCount(**row) for row in await db.fetch(LIST_SESSIONS)]


LIST_TABLES = """
WITH RECURSIVE parts AS (
    SELECT oid AS root, oid FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    UNION ALL
    SELECT parts.root, inhrelid FROM parts JOIN pg_inherits ON inhparent = parts.oid
)
SELECT root.relname::text AS name, sum(pg_total_relation_size(parts.oid))::bigint AS size_bytes,
       sum(part.reltuples) FILTER (WHERE part.reltuples >= 0 AND part.relkind = 'r')::bigint AS rows
FROM parts JOIN pg_class AS root ON root.oid = parts.root JOIN pg_class AS part ON part.oid = parts.oid
GROUP BY root.relname ORDER BY size_bytes DESC, name LIMIT $1
"""


async def list_tables(db: Executor, limit: int) -> list[TableSize]:
    """The largest, with their indexes."""
    return [TableSize(**row) for row in await db.fetch(LIST_TABLES, limit)]


# An entry's id is made when it is noted, and begins with the time. `at` says which partitions to look at.
COUNT_LINES = """
SELECT count(*)::int FROM (SELECT FROM execution_log WHERE id > $1 AND at > $2 LIMIT $3) AS recent
"""


async def count_lines(db: Executor, first_id: UUID, since: datetime, limit: int) -> int:
    """Entries of the execution log that were noted since then; `limit` at most."""
    return int(await db.fetchval(COUNT_LINES, first_id, since, limit))


FIND_NEWEST = """
SELECT at FROM execution_log WHERE at > $1 ORDER BY id DESC LIMIT 1
"""


async def find_newest(db: Executor, since: datetime) -> datetime | None:
    """When the entry was noted that was noted last; None: there is none since then."""
    at: datetime | None = await db.fetchval(FIND_NEWEST, since)
    return at


@dataclass(frozen=True, slots=True)
class Letters:
    """Entries of the log that PostgreSQL refused."""

    count: int
    newest_at: datetime | None


FIND_LETTERS = """
SELECT count(*)::int AS count, max(at) AS newest_at FROM (SELECT at FROM log_dead_letters LIMIT 100000) AS letters
"""


async def find_letters(db: Executor) -> Letters:
    row = await db.fetchrow(FIND_LETTERS)
    assert row is not None  # noqa: S101  an aggregate has one row
    return Letters(**row)
