"""What a process owns while it lives. One context manager opens it all, in order, and closes it all, in reverse."""

import os
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import combinations

import structlog

from roadmap import __version__
from roadmap.database import Database, Pool, open_database
from roadmap.errors import Misconfigured
from roadmap.execution_log.recorder import Recorder, open_recorder
from roadmap.figures.exposition import Exposition
from roadmap.figures.recording import Figures, open_figures
from roadmap.heartbeat import Process
from roadmap.ids import new_id
from roadmap.metrics import Metrics
from roadmap.migrate import require_schema
from roadmap.queue.client import Queue, open_queue
from roadmap.redaction import Redactor
from roadmap.settings import Settings

__all__ = [
    "POOL_LIMITS",
    "Process",
    "Runtime",
    "check_budget",
    "check_pair",
    "name_of_place",
    "needed_connections",
    "open_runtime",
    "pool",
    "require_database",
    "require_servers",
    "title",
]

log = structlog.get_logger()

RESERVE = 3  # the release step, and a person with psql


@dataclass(frozen=True, slots=True)
class Runtime:
    """Shared by all that this process serves: its `roles`. `place` tells this process from all others."""

    settings: Settings
    roles: tuple[Process, ...]
    place: str
    db: Database
    queue: Queue
    recorder: Recorder
    redactor: Redactor
    metrics: Metrics
    figures: Figures
    exposition: Exposition

    @property
    def name(self) -> str:
        """This process in diagnostics."""
        return f"{title(self.roles)}-{self.place}"

    def name_as(self, role: Process) -> str:
        """This process in rows, as one that serves the role."""
        return f"{role}-{self.place}"


@asynccontextmanager
async def open_runtime(
    settings: Settings, *roles: Process, place: str = "", metrics: Metrics | None = None
) -> AsyncIterator[Runtime]:
    """`place` and `metrics`: of the process, when it opens more than one in its life.

    Raises Misconfigured for settings that cannot work, a schema older than this code, or a budget overdrawn."""
    require_servers(settings)
    redactor, metrics, place = Redactor(settings.secrets()), metrics or Metrics(__version__), place or name_of_place()
    url, namespace = settings.redis_url.get_secret_value(), settings.redis_namespace
    async with open_database(pool(settings, *roles)) as db:
        await require_schema(db)
        await check_budget(settings, db, roles)
        async with (
            # A process that slept counts anew, and what it counted before must stand.
            open_figures(db, f"{title(roles)}-{name_of_place()}", metrics.jobs) as figures,
            open_queue(url, namespace=namespace, observer=figures) as queue,
        ):
            await check_pair(db, queue)
            async with open_recorder(db, queue, redactor) as recorder:
                _count_entries(metrics, recorder)
                exposition = Exposition(metrics, db, queue)
                yield Runtime(settings, roles, place, db, queue, recorder, redactor, metrics, figures, exposition)


def _count_entries(metrics: Metrics, recorder: Recorder) -> None:
    metrics.counter(
        "roadmap_log_rows_written_total",
        "Entries of the execution log that PostgreSQL has, as the process that noted them knows.",
        lambda: recorder.counters.written,
    )
    metrics.counter(
        "roadmap_log_rows_dropped_total",
        "Entries that were lost: the buffer was full, or they ended on stderr.",
        lambda: recorder.counters.dropped + recorder.counters.spilled,
    )
    metrics.gauge("roadmap_log_rows_unconfirmed", "Entries on their way to PostgreSQL.", lambda: recorder.unconfirmed)


def name_of_place() -> str:
    """Host, process and something new: a container's process has the same number each time."""
    return f"{socket.gethostname()}-{os.getpid()}-{new_id().hex[-6:]}"


def title(roles: Iterable[Process]) -> str:
    """What a process that serves them is called: `web`, `web-logs`, `all`."""
    served = set(roles)
    if served == set(Process):
        return "all"
    return "-".join(role for role in Process if role in served)


# Seconds. A request must not wait as long as a worker may.
STATEMENT_TIMEOUTS = {Process.WEB: 5.0, Process.CONTENT: 6.0, Process.LOGS: 15.0}


def _limit(roles: Iterable[Process]) -> float:
    """Seconds for a statement: a process of several roles lets each have the longest."""
    return max(STATEMENT_TIMEOUTS[role] for role in roles)


# By the name of the pool, of every process that there may be.
POOL_LIMITS = {
    f"roadmap-{title(roles)}": _limit(roles)
    for count in range(1, len(Process) + 1)
    for roles in combinations(Process, count)
}


def pool(settings: Settings, *roles: Process) -> Pool:
    """One for all that a process serves, as large as their own pools together."""
    return Pool(
        url=settings.database_url.get_secret_value(),
        size=sum(_pool_size(settings, role) for role in roles),
        name=f"roadmap-{title(roles)}",
        reserved=1 if Process.CONTENT in roles else 0,  # for leases
        behind_transaction_pooler=settings.behind_transaction_pooler,
        acquire_timeout=3.0 if set(roles) == {Process.WEB} else 5.0,
        statement_timeout=_limit(roles),
    )


def _pool_size(settings: Settings, role: Process) -> int:
    return {
        Process.WEB: settings.db_pool_web,
        Process.CONTENT: settings.db_pool_content,
        Process.LOGS: settings.db_pool_logs,
    }[role]


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


async def check_budget(settings: Settings, db: Database, roles: Sequence[Process] = ()) -> None:
    """Raises Misconfigured when all replicas' pools together can outgrow the budget, or the budget the server. `roles`:
    what this process serves."""
    offered = int(await db.fetchval(MAX_CONNECTIONS))
    budget = settings.db_connection_budget or offered
    needed = needed_connections(settings, roles)
    if settings.behind_transaction_pooler:
        return  # the pooler's own limits hold
    if budget > offered:
        raise Misconfigured(f"DB_CONNECTION_BUDGET is {budget}, but the server offers {offered} connections")
    if needed > budget:
        raise Misconfigured(
            f"the pools need up to {needed} connections of {budget}: lower DB_POOL_* or REPLICAS_*, or raise the budget"
        )


def needed_connections(settings: Settings, roles: Sequence[Process] = ()) -> int:
    """Σ replicas × pool, and a reserve.

    REPLICAS_X is how many processes serve X, alone or beside something else. This one counts itself, whatever they say;
    and where it serves several, there are as many of each as of the most.
    """
    replicas = {
        Process.WEB: settings.replicas_web,
        Process.CONTENT: settings.replicas_content,
        Process.LOGS: settings.replicas_logs,
    }
    here = max((1, *(replicas[role] for role in roles)))
    return RESERVE + sum(
        (here if role in roles else count) * _pool_size(settings, role) for role, count in replicas.items()
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
