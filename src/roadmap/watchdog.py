"""Ends a process that cannot go on by itself: its loop is blocked, or it no longer looks at its queue."""

import asyncio
import faulthandler
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from roadmap.errors import Stalled

__all__ = ["STALLED", "Watchdog", "open_watchdog", "watch_progress"]

log = structlog.get_logger()

STALLED = 70  # the exit code
_EVERY = 0.5
_REMEMBERED = 10  # seconds that the lag looks back
_LOOKS = 10
_LAST_SECONDS = 15.0
_MOST_TASKS = 200
_MOST_FRAMES = 20


class Watchdog:
    """Looks twice a second whether the loop turns. Made by `open_watchdog`; `limit` in seconds, 0: it only measures."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._late: deque[float] = deque(maxlen=int(_REMEMBERED / _EVERY))

    @property
    def lag(self) -> float:
        """Seconds by which the loop was late, at most, in the last ten."""
        return max(self._late, default=0.0)

    async def watch(self) -> None:
        while True:
            self._arm()
            due = time.monotonic() + _EVERY
            await asyncio.sleep(_EVERY)
            self._late.append(max(time.monotonic() - due, 0.0))

    def _arm(self) -> None:
        """Unless this is called again in time, a thread that needs no Python prints every stack, and exits with 1."""
        if self._limit and sys.stderr is not None:
            faulthandler.dump_traceback_later(self._limit, exit=True)


@asynccontextmanager
async def open_watchdog(limit: float) -> AsyncIterator[Watchdog]:
    """Ends this process, with all stacks on stderr, when its loop stands still for `limit` seconds; 0: never.

    There is one in a process, around all that it does. Whoever is thawed after a longer frost may end as well: others
    have taken its work over, and it starts afresh.
    """
    watchdog = Watchdog(limit)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watchdog.watch())
        try:
            yield watchdog
        finally:
            task.cancel()
            faulthandler.cancel_dump_traceback_later()


async def watch_progress(progress: Callable[[], float], limit: float) -> None:
    """Raises Stalled when `progress()` stays the same for `limit` seconds, and sees to it that the process then ends.

    Our own looks are counted and not the time: a process that was frozen has not stalled.
    """
    seen, same = progress(), 0
    while same < _LOOKS:
        await asyncio.sleep(limit / _LOOKS)
        now = progress()
        same, seen = (same + 1 if now == seen else 0), now
    log.error("worker_stalled", seconds=limit)
    _print_stacks()
    # What hangs may not let go: the way out through every block is tried first, and not for ever.
    asyncio.get_running_loop().call_later(_LAST_SECONDS, os._exit, STALLED)
    raise Stalled(f"the queue was not looked at for {limit:g} seconds")


def _print_stacks() -> None:
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    with suppress(OSError, ValueError):  # a stderr that is gone
        for task in tasks[:_MOST_TASKS]:
            print(f"Task {task.get_name()} (most recent await last):", *_frames(task), sep="\n", file=sys.stderr)
        if len(tasks) > _MOST_TASKS:
            print(f"and {len(tasks) - _MOST_TASKS} tasks more", file=sys.stderr)


def _frames(task: "asyncio.Task[Any]") -> list[str]:
    """The innermost awaits, of which asyncio's own `print_stack` shows the outermost only."""
    lines: list[str] = []
    waiting: Any = task.get_coro()
    while frame := getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None):
        lines.append(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno}, in {frame.f_code.co_qualname}')
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return lines[-_MOST_FRAMES:]
