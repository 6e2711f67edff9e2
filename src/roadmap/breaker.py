"""A small circuit breaker: spares callers the time-out of a server that is known to be away."""

import time
from collections.abc import Callable

__all__ = ["Breaker"]


class Breaker:
    """Opens after so many `faults` in a row, for `first_pause` seconds, and then for twice as long each time, up to
    `longest_pause`; after each pause one call may try again."""

    def __init__(
        self,
        faults: int,
        first_pause: float,
        longest_pause: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._faults_to_open = faults
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._clock = clock
        self._faults = 0
        self._pause = first_pause
        self._open_until = 0.0

    def allows(self) -> bool:
        """Whether to try. A True while open is the one probe of this pause, also when its caller never reports back."""
        if not self.is_open:
            return True
        now = self._clock()
        if now < self._open_until:
            return False
        self._pause = min(self._pause * 2, self._longest_pause)
        self._open_until = now + self._pause
        return True

    @property
    def faults(self) -> int:
        """In a row, up to now."""
        return self._faults

    @property
    def is_open(self) -> bool:
        return self._faults >= self._faults_to_open

    def put_back(self) -> None:
        """The probe that `allows` gave out was not made: the next who asks may have it, and this pause is no longer."""
        self._pause = max(self._first_pause, self._pause / 2)
        self._open_until = self._clock()

    def pause_left(self) -> float:
        """Seconds until `allows` says True; 0 when it would now. Asking is no probe."""
        if not self.is_open:
            return 0.0
        return max(0.0, self._open_until - self._clock())

    def succeeded(self) -> bool:
        """True: it was open, and this closed it."""
        was_open = self.is_open
        self._faults = 0
        return was_open

    def failed(self) -> bool:
        """True: this fault opened it. Later ones were under way at the same time, or were a probe: only the one that
        opens it sets the pause."""
        self._faults += 1
        if self._faults != self._faults_to_open:
            return False
        self._pause = self._first_pause
        self._open_until = self._clock() + self._first_pause
        return True
