"""A small circuit breaker: spares callers the time-out of a server that is known to be away."""

import time
from collections.abc import Callable

__all__ = ["Breaker"]

_FAULTS_TO_OPEN = 3
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 5.0


class Breaker:
    """Opens after 3 faults in a row, for 1 s, then 2, 4, 5 s; after each pause one call may try again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._faults = 0
        self._pause = _FIRST_PAUSE
        self._open_until = 0.0

    def allows(self) -> bool:
        """Whether to try. A True while open is the one probe of this pause, also when its caller never reports back."""
        if self._faults < _FAULTS_TO_OPEN:
            return True
        now = self._clock()
        if now < self._open_until:
            return False
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._open_until = now + self._pause
        return True

    def succeeded(self) -> None:
        self._faults = 0

    def failed(self) -> None:
        self._faults += 1
        # Only the fault that opens it sets the pause: others were under way at the same time, or were a probe.
        if self._faults == _FAULTS_TO_OPEN:
            self._pause = _FIRST_PAUSE
            self._open_until = self._clock() + _FIRST_PAUSE
