"""The settings for stock arq: `arq workers.content.WorkerSettings` serves the same queues as our own worker."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from arq.worker import Function

from roadmap.queue.model import dump_job, load_job
from roadmap.queue.pool import redis_settings

__all__ = ["Function", "stock_settings"]

Tools = dict[str, Any]


def stock_settings(
    url: str, queue: str, functions: Sequence[Function], tools: AbstractAsyncContextManager[Tools]
) -> dict[str, Any]:
    """What arq reads, which ignores in silence the names that it does not know. `tools` are opened at its start, in
    every job's context while it runs, and closed at its end. `queue` is the queue's key."""
    stack = AsyncExitStack()

    async def start(ctx: Tools) -> None:
        ctx.update(await stack.enter_async_context(tools))

    async def stop(_ctx: Tools) -> None:
        await stack.aclose()

    return {
        "functions": functions,
        "queue_name": queue,
        "redis_settings": redis_settings(url),
        "on_startup": start,
        "on_shutdown": stop,
        "max_jobs": 100,
        "max_tries": 10**9,
        "keep_result": 0,
        "job_serializer": dump_job,
        "job_deserializer": load_job,
    }
