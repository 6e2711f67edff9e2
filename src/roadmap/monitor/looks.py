"""One look for all who ask at about the same time: pages that many watch must not cost many times as much."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

__all__ = ["Looks"]

T = TypeVar("T")
SHORT = 5.0
MOST = 200


@dataclass(slots=True)
class _Look:
    seconds: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    until: float = 0.0
    value: Any = None
    forgotten: int = 0


class Looks:
    """What was seen lately, by name; one per process. Names are of this code; of too many the oldest goes."""

    def __init__(self) -> None:
        self._known: dict[str, _Look] = {}

    async def recent(self, name: str, seconds: float, look: Callable[[], Awaitable[T]]) -> T:
        """What `look` returned at most so many seconds ago, or returns now. Who comes while it is being looked waits
        for the same answer; an error is not kept: each who waits tries for itself."""
        known = self._known.setdefault(name, _Look(seconds))
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]
        async with known.lock:
            if time.monotonic() >= known.until:
                forgotten = known.forgotten
                known.value = await look()
                # What was looked at before something was done is of no use after it.
                known.until = time.monotonic() + seconds if known.forgotten == forgotten else 0.0
            seen: T = known.value
            return seen

    def forget(self) -> None:
        """After something was done: who did it wants to see it. What was seen for longer than seconds, since it is dear
        to look at, stays."""
        for known in self._known.values():
            if known.seconds <= SHORT:
                known.until = 0.0
                known.forgotten += 1
