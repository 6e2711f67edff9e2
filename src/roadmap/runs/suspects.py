"""Work that was there when two workers died is done alone: should it kill the next one, its neighbours are not to
blame and count no third crash. It is claimed only when its turn has come."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Suspects"]

# Those who wait hold a slot of their worker; there must be enough left for everybody else.
MOST_WAITING = 20


class Suspects:
    """One process's line of suspects."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """True when nobody else is at work here; False, at once, when the line is too long: come back later."""
        if self._waiting >= MOST_WAITING:
            yield False
            return
        self._waiting += 1
        try:
            async with self._lock:
                yield True
        finally:
            self._waiting -= 1
