"""What jobs of one function took together, over some time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import reduce

from roadmap.figures.buckets import add, quantile
from roadmap.queue.observer import Outcome

__all__ = ["Outcome", "Point", "Step", "Tally", "Times", "together"]


class Step(StrEnum):
    """How long a point of a series lasts."""

    MINUTE = "minute"
    HOUR = "hour"


@dataclass(frozen=True, slots=True)
class Times:
    """Times that were measured: their sum in seconds, and their counts in buckets."""

    total: float = 0.0
    counts: Sequence[int] = ()

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def p50(self) -> float | None:
        return quantile(self.counts, 0.5)

    @property
    def p95(self) -> float | None:
        return quantile(self.counts, 0.95)

    @property
    def p99(self) -> float | None:
        return quantile(self.counts, 0.99)

    def __add__(self, other: "Times") -> "Times":
        return Times(self.total + other.total, add(self.counts, other.counts))


@dataclass(frozen=True, slots=True)
class Tally:
    """Jobs by what happened to them. `offered`: added to the queue; the others ended, see Outcome. `wait`: from when a
    job could have begun until it did; `run`: from then to its end, however it ended."""

    offered: int = 0
    succeeded: int = 0
    failed: int = 0
    returned: int = 0
    wait: Times = Times()
    run: Times = Times()

    @property
    def ended(self) -> int:
        """Those that will not come again."""
        return self.succeeded + self.failed

    @property
    def failure_rate(self) -> float | None:
        """Of those that ended; None when there are none."""
        return self.failed / self.ended if self.ended else None

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.offered + other.offered,
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.returned + other.returned,
            self.wait + other.wait,
            self.run + other.run,
        )


@dataclass(frozen=True, slots=True)
class Point:
    """What happened in the minute, or the hour, that began then."""

    at: datetime
    tally: Tally


def together(tallies: Iterable[Tally]) -> Tally:
    return reduce(Tally.__add__, tallies, Tally())
