"""Claims, settlements and what frees a claim: tried again while PostgreSQL is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from roadmap.errors import Outage

__all__ = ["persist"]

# Seconds between the tries. The longest is well below the time that the sweeper gives us after an outage (see there).
PAUSES = (0.1, 0.2, 0.5, *[1.0] * 60)

T = TypeVar("T")


async def persist(commit: Callable[[], Awaitable[T]]) -> T:
    """Tries for about a minute, then raises Outage. A commit whose answer was lost runs twice: the second time it must
    change nothing, or raise Superseded. (A claim then finds the work taken, by us: its lease runs out, and the sweeper
    brings it back.)"""
    for pause in PAUSES:
        try:
            return await commit()
        except Outage:
            await asyncio.sleep(pause)
    return await commit()
