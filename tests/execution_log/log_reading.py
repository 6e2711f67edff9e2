"""What the tests look at."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from roadmap.database import Database
from roadmap.execution_log import store
from roadmap.execution_log.jobs import Committer
from roadmap.execution_log.model import Entry

LogsWorker = Callable[[str], AbstractAsyncContextManager[Committer]]


async def stored(db: Database, run_id: UUID) -> list[Entry]:
    now = datetime.now(UTC)
    period = store.Period(now - timedelta(days=2), now + timedelta(days=2))
    return await store.page(db, [run_id], period, limit=1_000)


async def messages(db: Database, run_id: UUID) -> list[str]:
    return [entry.message for entry in await stored(db, run_id)]


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Waits until it holds."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)
