"""A worker that has nothing to do closes all that it holds, and waits to be woken: its port is what stays."""

import asyncio
import ctypes
import gc
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from roadmap.errors import Misconfigured, Outage
from roadmap.heartbeat import Process
from roadmap.queue.worker import Worker
from roadmap.runs.waker import has_open_work
from roadmap.runtime import Runtime
from roadmap.settings import Settings

__all__ = ["LOOK_AGAIN", "Hibernation", "plan_hibernation", "release_memory", "stop_when_idle"]

log = structlog.get_logger()

# Seconds after which a sleeper looks by itself, should nobody have known of it.
LOOK_AGAIN = 6 * 3600.0


@dataclass(slots=True)
class Hibernation:
    """`after`: seconds without work. `asked`: the worker found that it may sleep. `asleep`: its row says that it does,
    and others will wake it."""

    after: float
    wake_url: str
    woken: asyncio.Event
    asked: bool = False
    asleep: bool = False


def plan_hibernation(settings: Settings, names: Sequence[Process], woken: asyncio.Event) -> Hibernation | None:
    """None: this process does not sleep. The API is there for those who ask, and the logs worker for who sleeps.
    Raises Misconfigured for one that nobody could wake."""
    if not settings.hibernate_after or list(names) != [Process.CONTENT]:
        return None
    if not settings.names_port or not settings.wake_url:
        raise Misconfigured(
            "HIBERNATE_AFTER needs PORT and WAKE_URL, where others reach that port: nobody could wake it"
        )
    return Hibernation(settings.hibernate_after, settings.wake_url, woken)


@asynccontextmanager
async def stop_when_idle(runtime: Runtime, worker: Worker, hibernation: Hibernation | None) -> AsyncIterator[None]:
    """While the block runs: stops the worker when it had nothing to do for long enough, and nothing is coming."""
    if hibernation is None:
        yield
        return
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(runtime, worker, hibernation))
        try:
            yield
        finally:
            watching.cancel()


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
