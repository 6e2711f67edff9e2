"""Whether a provider is worth asking, as far as this process can tell from its last calls."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from roadmap.breaker import Breaker
from roadmap.errors import Busy, Outage, Unusable

__all__ = ["Availability"]

log = structlog.get_logger()

_OUTAGES = 5
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 60.0
_SOON = 1.0


class Availability:
    """After 5 outages in a row nobody asks for 5 s, then 10, 20, 40, 60 s; after each pause one call tries."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._breaker = Breaker(_OUTAGES, _FIRST_PAUSE, _LONGEST_PAUSE)

    def check(self) -> None:
        """Raises Outage while a pause lasts."""
        if left := self._breaker.pause_left():
            raise self._away(left)

    def enter(self) -> bool:
        """Raises Outage unless the provider may be asked at once. True: this call is the probe after a pause."""
        is_probe = self._breaker.is_open
        if not self._breaker.allows():
            raise self._away(self._breaker.pause_left())
        return is_probe

    def leave_unasked(self) -> None:
        """The probe was given up before it asked, by a budget or a lost claim: whoever comes next may try."""
        self._breaker.put_back()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Around a call. Whoever answers is there: also one who refuses, or asks us to wait."""
        try:
            yield
        except (Busy, Unusable):
            self._is_there()
            raise
        except Outage as exc:
            self._is_away(exc)
            raise
        self._is_there()

    def _is_there(self) -> None:
        if self._breaker.succeeded():
            log.info("provider_back", provider=self._provider)

    def _is_away(self, outage: Outage) -> None:
        if self._breaker.failed():
            log.warning("provider_away", provider=self._provider, error=str(outage), retry_in=_FIRST_PAUSE)

    def _away(self, left: float) -> Outage:
        return Outage("the model's provider is away", retry_in=max(_SOON, left))
