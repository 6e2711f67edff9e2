"""Wakes content workers that hibernate: when there is work and all of them sleep, their addresses are asked.

A worker that sleeps holds no connection, so nobody can tell it by PostgreSQL or Redis. What is asked for is never a
stranger's address: a worker writes its own into its row, from its settings. So there is no guard as for links, which
would refuse the private networks in which workers live.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import structlog

from roadmap.chores import repeat
from roadmap.database import Database, Executor
from roadmap.sleepers import forget_lost, list_sleepers, note_answer

__all__ = ["Waker", "has_open_work", "open_waker"]

log = structlog.get_logger()

EVERY = 0.5
TIMEOUT = 2.0
# Who has answered needs a moment to say that it is awake.
_ANSWERED_PAUSE = 3.0
_LONGEST_PAUSE = 60.0

HAS_OPEN_WORK = """
SELECT EXISTS (SELECT FROM runs WHERE due_at IS NOT NULL AND coalesce(not_before, now()) <= horizon)
    OR EXISTS (SELECT FROM content WHERE due_at IS NOT NULL AND coalesce(not_before, now()) <= horizon)
FROM (SELECT now() + make_interval(secs => $1) AS horizon) AS times
"""


async def has_open_work(db: Executor, within: float = 0.0) -> bool:
    """Whether any work of content workers is open that may be done within so many seconds, whoever holds it now."""
    return bool(await db.fetchval(HAS_OPEN_WORK, within))


class Waker:
    """One logs worker's look at who sleeps. `look` raises Outage."""

    def __init__(self, db: Database, client: httpx.AsyncClient) -> None:
        self._db = db
        self._client = client
        # By address: when it may be asked again, and how often it was asked in vain.
        self._pauses: dict[str, tuple[float, int]] = {}

    async def look(self) -> None:
        sleepers = await list_sleepers(self._db)
        self._pauses = {address: pause for address, pause in self._pauses.items() if address in sleepers}
        now = time.monotonic()
        asked = [address for address in sleepers if self._pauses.get(address, (0.0, 0))[0] <= now]
        if not asked or not await has_open_work(self._db):
            return
        async with asyncio.TaskGroup() as group:
            asking = {address: group.create_task(self._ask(address)) for address in asked}
        for address, task in asking.items():
            await self._note(address, task.result())

    async def _ask(self, address: str) -> bool:
        """Whether somebody is there who will wake."""
        try:
            async with asyncio.timeout(TIMEOUT), self._client.stream("POST", address) as response:
                return response.is_success
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            return False

    async def _note(self, address: str, answered: bool) -> None:
        _, failures = self._pauses.get(address, (0.0, 0))
        failures = 0 if answered else failures + 1
        pause = _ANSWERED_PAUSE if answered else min(2.0 ** (failures - 1), _LONGEST_PAUSE)
        self._pauses[address] = (time.monotonic() + pause, failures)
        await note_answer(self._db, address, answered)
        if answered:
            log.info("worker_woken", address=address)
            return
        log.warning("worker_not_woken", address=address, failures=failures, retry_in=pause)
        await forget_lost(self._db, address)


@asynccontextmanager
async def open_waker(db: Database) -> AsyncIterator[None]:
    """Looks twice a second while the block runs. Several may: to be woken twice is to be woken."""
    nothing_kept = httpx.Limits(max_keepalive_connections=0)  # a sleeper shall hold no connection
    async with (
        httpx.AsyncClient(timeout=TIMEOUT, limits=nothing_kept, trust_env=False) as client,
        repeat(Waker(db, client).look, EVERY),
    ):
        yield
