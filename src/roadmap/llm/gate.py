"""In front of a provider with limits: calls wait here, in the order in which they came, until there is room."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from roadmap.errors import NotYet
from roadmap.ids import new_id
from roadmap.llm.model import Usage

__all__ = ["Admission", "Gate", "Limiter"]

# When who gave up its place comes back, in seconds.
_SHORTEST, _LONGEST = 1.0, 60.0
# Calls in line. Above this a worker's jobs have gone astray: `room` keeps it short.
_MOST_WAITING = 1_000
# Jobs that a worker takes beyond those whose calls are under way: so many that no room is left unused, and so few that
# the queue, which is fair between learners, decides who is next.
_AHEAD = 4
_ARRIVAL_SECONDS = 1.0


class Limiter(Protocol):
    """Counts what the provider sees."""

    async def acquire(self, call: UUID, tokens: int) -> float:
        """0: the call is in. Else the seconds after which to ask again."""
        ...

    def release(self, call: UUID, tokens: int, *, asked: bool) -> None:
        """The call is over; `tokens` is what it took, `asked` whether it was made."""
        ...

    async def changed(self, at_most: float) -> None:
        """Waits for a reason to ask again before its time."""
        ...


@dataclass(slots=True)
class Admission:
    """A call that may be made, with the `tokens` set aside for it. `used` is what it took, as far as is known."""

    tokens: int
    id: UUID = field(default_factory=new_id)
    used: int = 0
    asked: bool = False

    def begin(self) -> None:
        """The model is asked now; what it takes is not known until it answers."""
        self.asked, self.used = True, self.tokens

    def end(self, usage: Usage) -> None:
        self.used = usage.input_tokens + usage.output_tokens


class Gate:
    """One process's line, in which nobody waits for longer than `patience` seconds. It also tells the worker how many
    jobs to take."""

    def __init__(self, limiter: Limiter, patience: float = 10.0) -> None:
        self._limiter = limiter
        self._patience = patience
        self._line = asyncio.Lock()  # its waiters are served in order
        self._waiting = 0
        self._full_until = 0.0
        # Until when jobs that were taken are expected here.
        self._expected: deque[float] = deque()

    @asynccontextmanager
    async def admit(self, tokens: int) -> AsyncIterator[Admission]:
        """Waits for room. Raises NotYet when there is none for long. A cancellation leaves nothing behind."""
        admission = Admission(tokens)
        try:
            await self._wait_for_room(admission)
            yield admission
        finally:
            self._limiter.release(admission.id, admission.used, asked=admission.asked)

    def room(self) -> int:
        """How many jobs a worker may take now."""
        now = time.monotonic()
        while self._expected and self._expected[0] <= now:
            self._expected.popleft()  # it never came: not every job has something to ask
        if now < self._full_until:
            return 0
        return max(0, _AHEAD - self._waiting - len(self._expected))

    def took(self, jobs: int) -> None:
        """The worker has taken so many."""
        self._expected.extend([time.monotonic() + _ARRIVAL_SECONDS] * jobs)

    async def _wait_for_room(self, admission: Admission) -> None:
        if self._expected:
            self._expected.popleft()
        if self._waiting >= _MOST_WAITING:
            raise _no_room(self._patience)
        deadline = time.monotonic() + self._patience
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience), self._line:
                await self._acquire(admission, deadline)
        except TimeoutError as exc:
            raise _no_room(self._patience) from exc
        finally:
            self._waiting -= 1

    async def _acquire(self, admission: Admission, deadline: float) -> None:
        while pause := await self._limiter.acquire(admission.id, admission.tokens):
            ready = time.monotonic() + pause
            if ready > deadline:
                self._full_until = ready
                raise _no_room(pause)
            await self._limiter.changed(pause)


def _no_room(retry_in: float) -> NotYet:
    return NotYet("the model's limits are used up", retry_in=min(max(retry_in, _SHORTEST), _LONGEST))
