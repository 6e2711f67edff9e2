"""What the queue tells of its jobs as they come and go: how many were added, how long they waited, how they ended."""

import asyncio
import time
from dataclasses import replace
from enum import StrEnum
from typing import Any, Protocol

from arq.worker import Function, Retry, RetryJob

__all__ = ["Nobody", "Observer", "Outcome", "observe_function"]


# By which a function may begin after arq began to count its time.
_LATE_SECONDS = 1.0


class Outcome(StrEnum):
    """How a job ended for whoever operates the service. A function may return one of them; to return anything else is
    to have SUCCEEDED."""

    SUCCEEDED = "succeeded"  # done, or nothing was left to do
    RETURNED = "returned"  # it ended early, and its work is open: handed back, tried again later, or taken over
    FAILED = "failed"  # given up: an operator may want to look


class Observer(Protocol):
    """Hears of jobs. Its methods neither wait nor raise. `function` is one that a worker knows, or `unknown`."""

    def offered(self, function: str, jobs: int = 1) -> None:
        """So many were added to a queue, where they were not before."""
        ...

    def finished(self, function: str, outcome: Outcome, wait: float | None, run: float | None) -> None:
        """A job ended, or was given back. Seconds: from when it could have begun until it did, and from then to its
        end. None: it never began."""
        ...


class Nobody:
    """Hears of everything and keeps nothing."""

    def offered(self, function: str, jobs: int = 1) -> None:
        pass

    def finished(self, function: str, outcome: Outcome, wait: float | None, run: float | None) -> None:
        pass


def observe_function(function: Function, observer: Observer, timeout: float) -> Function:
    """The function, of whose calls `observer` hears. `timeout` in seconds is arq's for it."""

    async def observed(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> Any:
        waited, began = _waited(ctx), time.monotonic()
        outcome = Outcome.FAILED
        try:
            result = await function.coroutine(ctx, *args, **kwargs)
            outcome = result if isinstance(result, Outcome) else Outcome.SUCCEEDED
        except (Retry, RetryJob):
            outcome = Outcome.RETURNED
            raise
        except asyncio.CancelledError:
            # What is cancelled is given back, unless arq did it because the time was over: that was the last try.
            is_over = time.monotonic() - began > timeout - _LATE_SECONDS
            outcome = Outcome.FAILED if is_over else Outcome.RETURNED
            raise
        finally:
            observer.finished(function.name, outcome, waited, time.monotonic() - began)
        return result

    return replace(function, coroutine=observed)


def _waited(ctx: dict[Any, Any]) -> float:
    """Seconds since the job was enqueued, or since it was due if it was deferred: then its score is the later one. The
    score of a job that stands in line lies an hour in the past (see `first_place`), and tells no time."""
    due = max(ctx["enqueue_time"].timestamp(), ctx["score"] / 1000)
    return float(max(time.time() - due, 0.0))
