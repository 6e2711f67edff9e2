"""How a test waits: for a condition, and not for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

__all__ = ["eventually"]


async def eventually(condition: Callable[[], Any], what: str, *, within: float = 30.0) -> Any:
    """Waits until `condition`, a function or a coroutine function, returns something true; returns that."""
    try:
        async with asyncio.timeout(within):
            while True:
                outcome = condition()
                outcome = await outcome if isinstance(outcome, Awaitable) else outcome
                if outcome:
                    return outcome
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"not within {within} s: {what}")
