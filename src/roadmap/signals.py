"""SIGTERM and SIGINT: a process has one owner of them, who asks each of its parts to end."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec

__all__ = ["Stop", "leave_on_signal", "until_signal"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

P = ParamSpec("P")


def leave_on_signal() -> None:
    """For a process that still loads its modules, which takes a second: a signal ends it with 0, as it does later.

    At once and without an exception, which may be raised in places that print and forget it. Nothing is open yet.
    """
    for number in _SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))


class Stop:
    """How a process, or a part of one, is asked to end just now: its task is cancelled while it starts, and told
    otherwise when it serves. It may be asked again and again."""

    def __init__(self) -> None:
        self.asked = False
        self._ask: Callable[[], object] = lambda: None

    def by(self, ask: Callable[[], object]) -> None:
        """From now on `ask()` is the way. Await nothing between this and what it tells."""
        self._ask = ask

    def __call__(self) -> None:
        self.asked = True
        self._ask()


def until_signal(
    serve: Callable[Concatenate[Stop, P], Coroutine[Any, Any, None]],
) -> Callable[P, Coroutine[Any, Any, None]]:
    """A signal asks `serve` to end, as the Stop that it is given says: until `serve` says otherwise it is cancelled.

    Afterwards signals are ignored: the exit takes a moment, and one more must not become its code.
    """

    @wraps(serve)
    async def served(*args: P.args, **kwargs: P.kwargs) -> None:
        loop, stop = asyncio.get_running_loop(), Stop()
        task = asyncio.ensure_future(serve(stop, *args, **kwargs))
        stop.by(task.cancel)
        for number in _SIGNALS:
            loop.add_signal_handler(number, stop)
        with suppress(asyncio.CancelledError):
            await task
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    return served
