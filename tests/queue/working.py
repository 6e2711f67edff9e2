"""A worker inside the test's own loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from waiting import eventually

from roadmap.queue.model import Unexecuted
from roadmap.queue.pool import arq_pool
from roadmap.queue.worker import Worker


class Journal:
    """What jobs did, and a job function that waits until the test lets it go."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.ended: list[str] = []
        self.dead: list[Unexecuted] = []
        self.gate = asyncio.Event()

    async def write(self, ctx: dict[str, Any], name: str) -> None:
        self.ran.append(name)
        self.ended.append(name)

    async def hold(self, ctx: dict[str, Any], name: str) -> None:
        self.ran.append(name)
        await self.gate.wait()
        self.ended.append(name)

    async def on_dead(self, dead: Unexecuted) -> None:
        self.dead.append(dead)

    def functions(self) -> list[Callable[..., Any]]:
        return [named(self.write, "write"), named(self.hold, "hold")]


def named(function: Any, name: str) -> Any:
    from arq.worker import func

    return func(function, name=name)


@asynccontextmanager
async def working(url: str, functions: list[Any], *, wait: bool = True, **options: Any) -> AsyncIterator[Worker]:
    worker = Worker(functions, redis_pool=arq_pool(url, "content"), handle_signals=False, **options)
    running = asyncio.create_task(worker.async_run())
    try:
        if wait:
            await eventually(lambda: worker.connected or running.done(), "the worker is ready")
        yield worker
    finally:
        await worker.close()
        await running
