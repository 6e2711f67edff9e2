"""Work that a process does again and again beside its main job."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import structlog

from roadmap.errors import RoadmapError

__all__ = ["repeat"]

log = structlog.get_logger()


@asynccontextmanager
async def repeat(work: Callable[[], Awaitable[object]], every: float) -> AsyncIterator[None]:
    """Runs `work` now and each `every` seconds while the block runs. What the database refuses costs one round; a bug
    ends the block."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_repeat(work, every))
        try:
            yield
        finally:
            task.cancel()


async def _repeat(work: Callable[[], Awaitable[object]], every: float) -> None:
    while True:
        try:
            await work()
        except (RoadmapError, asyncpg.PostgresError) as exc:
            log.warning("chore_failed", error=type(exc).__name__, detail=str(exc))
        await asyncio.sleep(every)
