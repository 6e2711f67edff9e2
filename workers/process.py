"""What both pools share: the process that serves one queue."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog
from arq.worker import Function

from roadmap.queue.pool import arq_pool
from roadmap.queue.stock import stock_settings
from roadmap.queue.worker import Worker
from roadmap.settings import Settings, read_settings
from roadmap.signals import until_signal

log = structlog.get_logger()
OpenTools = Callable[[Settings], AbstractAsyncContextManager[dict[str, Any]]]


@until_signal
async def serve(settings: Settings, queue: str, functions: Sequence[Function], open_tools: OpenTools) -> None:
    """Serves the queue until SIGTERM or SIGINT. The tools are in every job's context."""
    key = settings.queue_name(queue)
    async with open_tools(settings) as tools:
        worker = Worker(
            functions,
            redis_pool=arq_pool(settings.redis_url.get_secret_value(), key),
            lease=1.5 * settings.lease,  # PostgreSQL's ends first, so that a redelivery never comes too early
            grace=settings.shutdown_grace,
            ready=lambda: log.info("worker_ready", queue=key),
            max_jobs=settings.content_concurrency,
            ctx=tools,
        )
        try:
            await worker.async_run()
        finally:
            await worker.close()


def stock(queue: str, functions: Sequence[Function], open_tools: OpenTools) -> dict[str, Any]:
    """For `arq workers.….WorkerSettings`: arq is the entry point then, and settings come from the environment."""
    settings = read_settings()
    url = settings.redis_url.get_secret_value() or "redis://127.0.0.1"
    return stock_settings(url, settings.queue_name(queue), functions, open_tools(settings))
