"""What each process says of itself every few seconds, and who was heard of lately."""

import asyncio
import os
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog

from roadmap import __version__
from roadmap.chores import repeat
from roadmap.database import Database, Executor
from roadmap.errors import Outage

__all__ = ["ALIVE", "Process", "Vitals", "count_alive", "forget_dead_processes", "open_heartbeat"]

log = structlog.get_logger()

EVERY = 5.0
ALIVE = 15.0  # seconds since its last word for which a process counts as alive
_LEAVE_SECONDS = 2.0


class Process(StrEnum):
    WEB = "web"
    CONTENT = "content"
    LOGS = "logs"


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a process knows of itself. Times in seconds; `polled_ago`: since its loop last turned while Redis answered,
    None where there is no such loop. `entries` of the execution log since its start: not yet seen in PostgreSQL,
    dropped, and spilled."""

    loop_lag: float
    running: int = 0
    polled_ago: float | None = None
    entries: tuple[int, int, int] = (0, 0, 0)


def _ignore(_paused: bool) -> None:
    pass


@asynccontextmanager
async def open_heartbeat(
    db: Database, name: str, process: Process, vitals: Callable[[], Vitals], hear: Callable[[bool], None] = _ignore
) -> AsyncIterator["Heartbeat"]:
    """Keeps this process's row while the block runs. One that is killed leaves it, and is dead by its age. `hear` is
    told with each beat whether the process's queue is paused; for the first time before the block runs."""
    heartbeat = Heartbeat(db, name, process, vitals, hear)
    try:
        async with repeat(heartbeat.beat, EVERY):
            await heartbeat.tried.wait()
            yield heartbeat
    finally:
        await heartbeat.leave()


# The times are by the database's clock, as are those who read them. A row that was forgotten comes again.
BEAT = """
INSERT INTO workers (name, process, host, pid, version, started_at, polled_at, running, loop_lag_ms, memory_bytes,
                     connections, connections_used, log_waiting, log_dropped, log_spilled)
VALUES ($1, $2, $3, $4, $5, now() - make_interval(secs => $6), now() - make_interval(secs => $7), $8, $9, $10, $11, $12,
        $13, $14, $15)
ON CONFLICT (name) DO UPDATE SET
    seen_at = now(), polled_at = EXCLUDED.polled_at, running = EXCLUDED.running, loop_lag_ms = EXCLUDED.loop_lag_ms,
    memory_bytes = EXCLUDED.memory_bytes, connections = EXCLUDED.connections,
    connections_used = EXCLUDED.connections_used, log_waiting = EXCLUDED.log_waiting,
    log_dropped = EXCLUDED.log_dropped, log_spilled = EXCLUDED.log_spilled,
    hibernating_since = NULL, wake_url = NULL, asked_in_vain_since = NULL
RETURNING EXISTS (SELECT FROM paused_queues WHERE paused_queues.name = workers.process)
"""

LEAVE = """
DELETE FROM workers WHERE name = $1
"""

HIBERNATE = """
UPDATE workers SET hibernating_since = now(), wake_url = $2, seen_at = now(), polled_at = NULL, running = 0,
    loop_lag_ms = 0, connections = 0, connections_used = 0
WHERE name = $1 RETURNING true
"""


class Heartbeat:
    """The row of this process; `name` is its own. With a `wake_url` the row stays when it leaves, so that others know
    where to wake it; `hibernates` says whether it did."""

    def __init__(
        self, db: Database, name: str, process: Process, vitals: Callable[[], Vitals], hear: Callable[[bool], None]
    ) -> None:
        self._db = db
        self._name = name
        self._who = (name, process, socket.gethostname(), os.getpid(), __version__)
        self._vitals = vitals
        self._hear = hear
        self._began = time.monotonic()
        self.tried = asyncio.Event()  # the first beat, well or in vain
        self.wake_url: str | None = None
        self.hibernates = False

    async def beat(self) -> None:
        """Raises Outage."""
        vitals, (size, used) = self._vitals(), self._db.usage()
        uptime, lag_ms = time.monotonic() - self._began, round(vitals.loop_lag * 1000)
        figures = (vitals.polled_ago, vitals.running, lag_ms, resident_bytes(), size, used)
        try:
            self._hear(bool(await self._db.fetchval(BEAT, *self._who, uptime, *figures, *vitals.entries)))
        finally:
            self.tried.set()

    async def leave(self) -> None:
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                if self.wake_url:
                    self.hibernates = bool(await self._db.fetchval(HIBERNATE, self._name, self.wake_url))
                else:
                    await self._db.execute(LEAVE, self._name)
        except (Outage, TimeoutError) as exc:
            log.warning("heartbeat_not_removed", error=type(exc).__name__)


def resident_bytes() -> int:
    """Memory of this process; where there is no /proc, the most that it ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return pages * os.sysconf("SC_PAGE_SIZE")


# A sleeper that did not answer when it was asked last is none: it was killed, or its address leads nowhere.
COUNT_ALIVE = """
SELECT process, count(*)::int AS count FROM workers
WHERE (hibernating_since IS NOT NULL OR seen_at > now() - make_interval(secs => $1)) AND asked_in_vain_since IS NULL
GROUP BY process
"""


async def count_alive(db: Executor) -> dict[Process, int]:
    """Processes heard of in the last seconds, and those that hibernate, by their type; one without any is not in it."""
    return {Process(row["process"]): row["count"] for row in await db.fetch(COUNT_ALIVE, ALIVE)}


FORGET_DEAD_PROCESSES = """
DELETE FROM workers
WHERE seen_at < now() - CASE WHEN hibernating_since IS NULL THEN interval '1 day' ELSE interval '30 days' END
"""


async def forget_dead_processes(db: Executor) -> None:
    """A day after their last word. One that hibernates says something now and then, unless its host has stopped it:
    then it starts when it is woken."""
    await db.execute(FORGET_DEAD_PROCESSES)
