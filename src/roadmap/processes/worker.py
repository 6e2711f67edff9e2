"""A process as a worker on one queue: ours, and how stock arq gets the same tools."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from roadmap.dead_jobs.service import bury_unexecuted
from roadmap.heartbeat import Heartbeat, Process, Vitals, open_heartbeat
from roadmap.processes.hibernation import stop_when_idle
from roadmap.processes.house import House, Role
from roadmap.queue.pool import arq_pool
from roadmap.queue.stock import Function, stock_settings
from roadmap.queue.worker import Worker
from roadmap.runtime import Runtime, open_runtime
from roadmap.settings import Settings, read_settings
from roadmap.signals import Stop
from roadmap.watchdog import open_watchdog

__all__ = ["Work", "role_of", "stock"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Work:
    """What is done on a queue, which is named as the role. The tools are in every job's context. `at_once`: jobs;
    None: CONTENT_CONCURRENCY."""

    process: Process
    functions: Sequence[Function]
    open_tools: Callable[[Runtime], AbstractAsyncContextManager[dict[str, Any]]]
    at_once: int | None = None


def role_of(work: Work) -> Role:
    return Role(work.process, partial(_serve, work))


async def _serve(work: Work, house: House, stop: Stop) -> None:
    """Serves the queue until it is asked to stop."""
    runtime = house.runtime
    async with work.open_tools(runtime) as tools:
        worker = _make_worker(work, house, tools)
        stop.by(worker.stop)

        def vitals() -> Vitals:
            polled_ago, entries = time.monotonic() - worker.awake, runtime.recorder.counters.entries
            return Vitals(house.watchdog.lag, len(worker.tasks), polled_ago, entries)

        try:
            async with open_heartbeat(
                runtime.db, runtime.name_as(work.process), work.process, vitals, hear=worker.pause
            ) as heartbeat:
                await _work(worker, house, heartbeat, stop)
            _note_sleep(house, heartbeat)
        finally:
            await worker.close()


async def _work(worker: Worker, house: House, heartbeat: Heartbeat, stop: Stop) -> None:
    hibernation = house.hibernation
    async with stop_when_idle(house.runtime, worker, hibernation):
        await worker.async_run()
    if hibernation and hibernation.asked and not stop.asked:
        heartbeat.wake_url = hibernation.wake_url


def _note_sleep(house: House, heartbeat: Heartbeat) -> None:
    if house.hibernation:
        house.hibernation.asleep = heartbeat.hibernates


def _make_worker(work: Work, house: House, tools: dict[str, Any]) -> Worker:
    settings, role = house.runtime.settings, work.process
    key = settings.queue_name(role)

    def tell_ready() -> None:
        house.readiness.polls[role] = lambda: time.monotonic() - worker.awake
        log.info("worker_ready", queue=key, **({} if house.port is None else {"port": house.port}))

    worker = Worker(
        work.functions,
        redis_pool=arq_pool(settings.redis_url.get_secret_value(), key),
        lease=1.5 * settings.lease,  # PostgreSQL's ends first, so that a redelivery never comes too early
        grace=settings.shutdown_grace,
        on_dead=partial(bury_unexecuted, house.runtime.db, role, redactor=house.runtime.redactor),
        ready=tell_ready,
        max_jobs=work.at_once or settings.content_concurrency,
        ctx=tools,
        observer=house.runtime.figures,
        handle_signals=False,
    )
    worker.throttle = tools.get("throttle")
    return worker


def stock(work: Work) -> dict[str, Any]:
    """For `arq workers.….WorkerSettings`: arq is the entry point then, and settings come from the environment."""
    settings = read_settings()
    url = settings.redis_url.get_secret_value() or "redis://127.0.0.1"
    return stock_settings(url, settings.queue_name(work.process), work.functions, _watched(settings, work))


@asynccontextmanager
async def _watched(settings: Settings, work: Work) -> AsyncIterator[dict[str, Any]]:
    """What `_serve` does beside its worker, as far as stock arq lets itself be looked at."""
    async with open_watchdog(settings.watchdog) as watchdog, open_runtime(settings, work.process) as runtime:
        name = runtime.name_as(work.process)
        async with (
            work.open_tools(runtime) as tools,
            open_heartbeat(
                runtime.db, name, work.process, lambda: Vitals(watchdog.lag, entries=runtime.recorder.counters.entries)
            ),
        ):
            yield tools
