"""A worker that has nothing to do closes all that it holds, and waits to be woken: its port is what stays."""

import asyncio
import ctypes
import gc
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

import structlog

from roadmap.chores import repeat
from roadmap.errors import Misconfigured, Outage
from roadmap.heartbeat import Process
from roadmap.queue.worker import Worker
from roadmap.runs.waker import has_open_work
from roadmap.runtime import Runtime
from roadmap.settings import Settings
from roadmap.sleepers import forget_predecessors

__all__ = ["LOOK_AGAIN", "Hibernation", "plan_hibernation", "release_memory", "stop_when_idle"]

log = structlog.get_logger()

# Seconds after which a sleeper looks by itself, should nobody have known of it.
LOOK_AGAIN = 6 * 3600.0
_FORGET_EVERY = 3600.0


@dataclass(slots=True)
class Hibernation:
    """`after`: seconds without work. `asked`: since it is awake the worker found that it may sleep. `asleep`: its row
    says that it does, and others will wake it."""

    after: float
    wake_url: str
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    asked: bool = False
    asleep: bool = False


def plan_hibernation(settings: Settings, names: Sequence[Process]) -> Hibernation | None:
    """None: this process does not sleep. The API is there for those who ask, and the logs worker for who sleeps.
    Raises Misconfigured for one that nobody could wake."""
    if not settings.hibernate_after or list(names) != [Process.CONTENT]:
        return None
    if not settings.names_port or not settings.wake_url:
        raise Misconfigured(
            "HIBERNATE_AFTER needs PORT and WAKE_URL, where others reach that port: nobody could wake it"
        )
    if urlsplit(settings.wake_url).path in {"", "/"}:
        raise Misconfigured("WAKE_URL names no path, and nobody is woken at /: http://…:PORT/wake")
    return Hibernation(settings.hibernate_after, settings.wake_url)


@asynccontextmanager
async def stop_when_idle(runtime: Runtime, worker: Worker, hibernation: Hibernation | None) -> AsyncIterator[None]:
    """While the block runs: stops the worker when it had nothing to do for long enough, and nothing is coming."""
    if hibernation is None:
        yield
        return
    hibernation.asked = False
    async with _in_place_of_others(runtime, hibernation.wake_url), asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(runtime, worker, hibernation))
        try:
            yield
        finally:
            watching.cancel()


def _in_place_of_others(runtime: Runtime, wake_url: str) -> AbstractAsyncContextManager[None]:
    """Rows of those that a host has stopped in their sleep, or killed, and started again as this process. Whoever lives
    looks again in time."""
    name, outdated = runtime.name_as(Process.CONTENT), LOOK_AGAIN + 3600
    return repeat(partial(forget_predecessors, runtime.db, name, wake_url, outdated), _FORGET_EVERY)


async def _watch(runtime: Runtime, worker: Worker, hibernation: Hibernation) -> None:
    since = time.monotonic()
    while True:
        await asyncio.sleep(min(hibernation.after / 4, 1.0))
        since = max(since, time.monotonic() if worker.tasks else worker.worked)
        if time.monotonic() - since < hibernation.after:
            continue
        hibernation.woken.clear()  # whoever wakes us from now on has a reason
        if await _may_sleep(runtime, hibernation.after):
            hibernation.asked = True
            worker.stop()
            return
        since = time.monotonic()


async def _may_sleep(runtime: Runtime, seconds: float) -> bool:
    """Nothing is open that may be done so soon, nor on the queue; when either is away, that is not known."""
    try:
        if await has_open_work(runtime.db, seconds):
            return False
    except Outage:
        return False
    return await runtime.queue.depth(Process.CONTENT) == 0


def release_memory() -> None:
    """What was freed goes back to the system as far as it can; glibc keeps it otherwise."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
