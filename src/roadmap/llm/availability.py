"""Whether a provider is worth asking, as far as this process can tell from its last calls."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import structlog

from roadmap.breaker import Breaker
from roadmap.errors import Busy, Outage, Unusable

__all__ = ["Availability"]

log = structlog.get_logger()

_OUTAGES = 5
# Of these in a row, how many one run may be the cause of: what fails for it alone is no reason to stop the others.
_COUNTED = 3
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 60.0
_SOON = 1.0
_MOST_RUNS = 1_000


class Availability:
    """After 5 outages in a row nobody asks for 5 s, then 10, 20, 40, 60 s; after each pause one call tries.

    A run whose own calls fail 5 times in a row pauses in the same way, while others go on.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._breaker = _new_breaker()
        # Of the runs whose last call was an outage.
        self._struck: dict[UUID | None, Breaker] = {}

    def check(self, run_id: UUID | None) -> None:
        """Raises Outage while a pause lasts."""
        left = max(breaker.pause_left() for breaker in self._breakers(run_id))
        if left:
            raise Outage("the model's provider is away", retry_in=max(_SOON, left))

    def enter(self, run_id: UUID | None) -> Sequence[Breaker]:
        """Raises Outage unless the provider may be asked at once; after a pause the first who comes is its probe.

        Returns what the call is a probe of: `leave_unasked` wants it back when the call is not made.
        """
        self.check(run_id)
        probed = [breaker for breaker in self._breakers(run_id) if breaker.is_open]
        for breaker in probed:
            breaker.allows()
        return probed

    def leave_unasked(self, probed: Sequence[Breaker]) -> None:
        """The call was given up before it asked, by a budget or a lost claim: whoever comes next may try."""
        for breaker in probed:
            breaker.put_back()

    @contextmanager
    def watch(self, run_id: UUID | None) -> Iterator[None]:
        """Around a call. Whoever answers is there: also one who refuses, or asks us to wait."""
        try:
            yield
        except (Busy, Unusable):
            self._is_there(run_id)
            raise
        except Outage as exc:
            self._is_away(run_id, exc)
            raise
        self._is_there(run_id)

    def _breakers(self, run_id: UUID | None) -> list[Breaker]:
        own = self._struck.get(run_id)
        return [self._breaker] if own is None else [self._breaker, own]

    def _is_there(self, run_id: UUID | None) -> None:
        self._struck.pop(run_id, None)
        if self._breaker.succeeded():
            log.info("provider_back", provider=self._provider)

    def _is_away(self, run_id: UUID | None, outage: Outage) -> None:
        if self._strike(run_id).faults > _COUNTED:
            return
        if self._breaker.failed():
            log.warning("provider_away", provider=self._provider, error=str(outage), retry_in=_FIRST_PAUSE)

    def _strike(self, run_id: UUID | None) -> Breaker:
        if run_id not in self._struck and len(self._struck) >= _MOST_RUNS:
            del self._struck[next(iter(self._struck))]
        own = self._struck.setdefault(run_id, _new_breaker())
        own.failed()
        return own


def _new_breaker() -> Breaker:
    return Breaker(_OUTAGES, _FIRST_PAUSE, _LONGEST_PAUSE)
