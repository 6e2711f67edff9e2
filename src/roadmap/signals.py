"""SIGTERM and SIGINT where a server or a worker does not yet, or no longer, listen to them."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec

__all__ = ["hand_over_signals", "leave_on_signal", "until_signal"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

P = ParamSpec("P")


def leave_on_signal() -> None:
    """For a process that still loads its modules, which takes a second: a signal ends it with 0, as it does later.

    At once and without an exception, which may be raised in places that print and forget it. Nothing is open yet.
    """
    for number in _SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))


def until_signal(serve: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, Coroutine[Any, Any, None]]:
    """A signal cancels `serve` until that handles signals itself (as uvicorn and a worker do), and ends it quietly.

    Afterwards signals are ignored: the exit takes a moment, and one more must not become its code.
    """

    @wraps(serve)
    async def served(*args: P.args, **kwargs: P.kwargs) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(serve(*args, **kwargs))
        for number in _SIGNALS:
            loop.add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await task
        hand_over_signals()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    return served


def hand_over_signals() -> None:
    """For a server that sets handlers of its own with `signal.signal`, beside which the loop's would still be called.
    Nothing may be awaited between this and that."""
    for number in _SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)
