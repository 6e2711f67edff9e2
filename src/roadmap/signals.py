"""SIGTERM and SIGINT where a server or a worker does not yet, or no longer, listen to them."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec

__all__ = ["until_signal"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

P = ParamSpec("P")


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
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    return served
