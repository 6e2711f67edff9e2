"""What a process owns while it lives. One context manager opens it all, in order, and closes it all, in reverse."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from roadmap.database import Database, Pool, open_database
from roadmap.errors import Misconfigured
from roadmap.execution_log.recorder import Recorder, open_recorder
from roadmap.heartbeat import Process
from roadmap.ids import new_id
from roadmap.migrate import require_schema
from roadmap.queue.client import Queue, open_queue
from roadmap.settings import Settings

__all__ = [
    "POOL_LIMITS",
    "Process",
    "Runtime",
    "check_budget",
    "check_pair",
    "needed_connections",
    "open_runtime",
    "pool",
    "require_database",
    "require_servers",
]

log = structlog.get_logger()

RESERVE = 3  # the release step, and a person with psql


@dataclass(frozen=True, slots=True)
class Runtime:
    """Shared by the web's lifespan and the workers' start. `name` is this process in rows and diagnostics."""

    settings: Settings
    process: Process
    name: str
    db: Database
    queue: Queue
    recorder: Recorder


@asynccontextmanager
async def open_runtime(settings: Settings, process: Process) -> AsyncIterator[Runtime]:
    """Raises Misconfigured for settings that cannot work, a schema older than this code, or a budget overdrawn."""
    require_servers(settings)
    name = f"{process}-{socket.gethostname()}-{os.getpid()}-{new_id().hex[-6:]}"
    async with (
        open_database(pool(settings, process)) as db,
        open_queue(settings.redis_url.get_secret_value(), namespace=settings.redis_namespace) as queue,
    ):
        await require_schema(db)
        await check_budget(settings, db)
        await check_pair(db, queue)
        async with open_recorder(db, queue) as recorder:
            yield Runtime(settings, process, name, db, queue, recorder)


# Seconds. A request must not wait as long as a worker may.
STATEMENT_TIMEOUTS = {Process.WEB: 5.0, Process.CONTENT: 6.0, Process.LOGS: 15.0}
POOL_LIMITS = {f"roadmap-{process}": seconds for process, seconds in STATEMENT_TIMEOUTS.items()}


def pool(settings: Settings, process: Process) -> Pool:
    sizes = {
        Process.WEB: settings.db_pool_web,
        Process.CONTENT: settings.db_pool_content,
        Process.LOGS: settings.db_pool_logs,
    }
    return Pool(
        url=settings.database_url.get_secret_value(),
        size=sizes[process],
        name=f"roadmap-{process}",
        behind_transaction_pooler=settings.behind_transaction_pooler,
        acquire_timeout=3.0 if process is Process.WEB else 5.0,
        statement_timeout=STATEMENT_TIMEOUTS[process],
    )


INSTALLATION = """
SELECT id FROM installation
"""


async def check_pair(db: Database, queue: Queue) -> None:
    """Raises Misconfigured when this Redis serves another database: jobs would be taken by workers that know nothing
    of them. Redis away is no fault; an emptied one is claimed anew."""
    installation = str(await db.fetchval(INSTALLATION))
    holder = await queue.claim("installation", installation)
    if holder not in {None, installation}:
        key = queue.key("installation")
        raise Misconfigured(
            f"REDIS_URL serves another database: set a REDIS_NAMESPACE of its own, or delete the key {key!r} if the"
            " database was moved"
        )


MAX_CONNECTIONS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""


async def check_budget(settings: Settings, db: Database) -> None:
    """Raises Misconfigured when all replicas' pools together can outgrow the budget, or the budget the server."""
    offered = int(await db.fetchval(MAX_CONNECTIONS))
    budget = settings.db_connection_budget or offered
    needed = needed_connections(settings)
    if settings.behind_transaction_pooler:
        return  # the pooler's own limits hold
    if budget > offered:
        raise Misconfigured(f"DB_CONNECTION_BUDGET is {budget}, but the server offers {offered} connections")
    if needed > budget:
        raise Misconfigured(
            f"the pools need up to {needed} connections of {budget}: lower DB_POOL_* or REPLICAS_*, or raise the budget"
        )


def needed_connections(settings: Settings) -> int:
    """Σ replicas × pool, and a reserve."""
    return (
        settings.replicas_web * settings.db_pool_web
        + settings.replicas_content * settings.db_pool_content
        + settings.replicas_logs * settings.db_pool_logs
        + RESERVE
    )


def require_servers(settings: Settings) -> None:
    """Raises Misconfigured when PostgreSQL or Redis is not named."""
    require_database(settings)
    if not settings.redis_url.get_secret_value():
        raise Misconfigured("set REDIS_URL; `roadmap dev` brings its own servers")


def require_database(settings: Settings) -> None:
    """Raises Misconfigured when PostgreSQL is not named."""
    if not settings.database_url.get_secret_value():
        raise Misconfigured("set DATABASE_URL; `roadmap dev` brings its own servers")
