"""SIGTERM and SIGINT where the worker does not yet, or no longer, listen to them."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

__all__ = ["until_signal"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Awaits `work`, which a signal cancels until it handles signals itself (as a worker does). Afterwards signals are
    ignored: the exit takes a moment, and one more must not become its code."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    for number in _SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task
    for number in _SIGNALS:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
