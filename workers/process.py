"""What both pools share: the process that serves one queue."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import structlog
from arq.worker import Function

from roadmap.dead_jobs.service import bury_unexecuted
from roadmap.heartbeat import Vitals, open_heartbeat
from roadmap.queue.pool import arq_pool
from roadmap.queue.stock import stock_settings
from roadmap.queue.worker import Worker
from roadmap.settings import Settings, read_settings
from roadmap.signals import until_signal
from roadmap.watchdog import open_watchdog

log = structlog.get_logger()
OpenTools = Callable[[Settings], AbstractAsyncContextManager[dict[str, Any]]]


@until_signal
async def serve(settings: Settings, queue: str, functions: Sequence[Function], open_tools: OpenTools) -> None:
    """Serves the queue until SIGTERM or SIGINT. The tools, of which one is the runtime, are in every job's context."""
    key = settings.queue_name(queue)
    async with open_watchdog(settings.watchdog) as watchdog, open_tools(settings) as tools:
        worker = Worker(
            functions,
            redis_pool=arq_pool(settings.redis_url.get_secret_value(), key),
            lease=1.5 * settings.lease,  # PostgreSQL's ends first, so that a redelivery never comes too early
            grace=settings.shutdown_grace,
            on_dead=partial(bury_unexecuted, tools["runtime"].db, queue),
            ready=lambda: log.info("worker_ready", queue=key),
            max_jobs=settings.content_concurrency,
            ctx=tools,
        )
        worker.throttle = tools.get("throttle")

        def vitals() -> Vitals:
            return Vitals(watchdog.lag, len(worker.tasks), time.monotonic() - worker.awake)

        runtime = tools["runtime"]
        try:
            async with open_heartbeat(runtime.db, runtime.name, runtime.process, vitals):
                await worker.async_run()
        finally:
            await worker.close()


def stock(queue: str, functions: Sequence[Function], open_tools: OpenTools) -> dict[str, Any]:
    """For `arq workers.….WorkerSettings`: arq is the entry point then, and settings come from the environment."""
    settings = read_settings()
    url = settings.redis_url.get_secret_value() or "redis://127.0.0.1"
    return stock_settings(url, settings.queue_name(queue), functions, _watched(settings, open_tools))


@asynccontextmanager
async def _watched(settings: Settings, open_tools: OpenTools) -> AsyncIterator[dict[str, Any]]:
    """What `serve` does beside its worker, as far as stock arq lets itself be looked at."""
    async with open_watchdog(settings.watchdog) as watchdog, open_tools(settings) as tools:
        runtime = tools["runtime"]
        async with open_heartbeat(runtime.db, runtime.name, runtime.process, lambda: Vitals(watchdog.lag)):
            yield tools
