"""Times as counts in fixed buckets: they add up over minutes and processes, and quantiles can still be told."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import zip_longest

__all__ = ["BOUNDS", "add", "bucket", "quantile"]

# Seconds, each 1.41 times the one before: from a millisecond to 70 minutes. A count at place i is of times up to
# BOUNDS[i]; the last place is for longer ones. Rows in PostgreSQL are counted in these: they never change.
BOUNDS = tuple(0.001 * 2 ** (place / 2) for place in range(45))


def bucket(seconds: float) -> int:
    """The place of a time."""
    return bisect_left(BOUNDS, seconds)


def add(some: Sequence[int], others: Sequence[int]) -> list[int]:
    """Counts of both. One may be shorter: there are none at its end."""
    return [one + other for one, other in zip_longest(some, others, fillvalue=0)]


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The time within which `share` (0 to 1) of all lie, in seconds, as if they were spread evenly in their bucket.

    Wrong by less than the width of a bucket. None when there are none; beyond the last bound nothing is known but that.
    """
    wanted, below = share * sum(counts), 0
    for place, count in enumerate(counts):
        if count and below + count >= wanted:
            return _within(place, (wanted - below) / count)
        below += count
    return None


def _within(place: int, share: float) -> float:
    if place >= len(BOUNDS):
        return BOUNDS[-1]
    start = BOUNDS[place - 1] if place else 0.0
    return start + (BOUNDS[place] - start) * share
