"""So many a minute, smoothly: a bucket that is remembered by one moment, when it will be full again (GCRA)."""

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Bucket", "Rate"]

_BURST_PART = 10


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` units fit into the bucket, and one flows back each `interval` ms; an interval of 0 sets no limit."""

    interval: float
    burst: int

    @classmethod
    def of(cls, per_minute: int) -> "Rate":
        """A tenth of the limit at once, and the rest over the minute: so no minute sees more than the limit, whenever
        it begins. (A call that costs more than the burst is let in when the bucket is full, and its debt is paid before
        the next.)"""
        if not per_minute:
            return cls(0.0, 0)
        burst = max(1, per_minute // _BURST_PART)
        return cls(60_000 / (per_minute - burst + 1), burst)


class Bucket:
    """A rate in this process alone. The same sums are in the limiter's scripts."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._full_at = 0.0

    def wait(self, cost: int) -> float:
        """Seconds until so much may be taken; 0 now."""
        spare = self._rate.burst - min(cost, self._rate.burst)
        pause = self._full_at - self._clock() - spare * self._rate.interval / 1000
        return round(max(0.0, pause), 6)  # no sum of floats is exact

    def take(self, cost: int) -> None:
        self._full_at = max(self._clock(), self._full_at) + cost * self._rate.interval / 1000

    def give_back(self, amount: int) -> None:
        """What was taken and not used; less than nothing for what was used beyond it."""
        self.take(-amount)
