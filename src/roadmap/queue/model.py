"""A job, and the JSON in which arq's keys carry it."""

from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["KEPT_MS", "MOST_RAW", "PLACE_MS", "Job", "Unexecuted", "dump_job", "first_place", "load_job"]

# How long a payload waits for a worker: 7 days. PostgreSQL's sweeper is the one who remembers for longer.
KEPT_MS = 7 * 24 * 3600 * 1000
# What one more outstanding job of a learner costs in line.
PLACE_MS = 1000
# All places together stay below the head start of an hour, so that a score is always in the past.
_HEAD_START_MS = 3_600_000
_MOST_BEHIND = _HEAD_START_MS // PLACE_MS - 1
_LATEST_MS = 10**14
# Bytes of a payload that are looked at, and kept, once its job cannot be executed.
MOST_RAW = 65_536


@dataclass(frozen=True, slots=True)
class Job:
    """One item on a queue.

    `id` blocks a duplicate only while it is queued or running. `args` are ids, never contents (log batches: JSON text).
    `behind` counts the outstanding jobs of the same learner; each costs a place in line. None: it stands in no line,
    first come, first served. `delay` is in seconds and takes the place of fairness; it is for the back-off of log
    batches only.
    """

    function: str
    id: str
    args: tuple[str | int, ...] = ()
    behind: int | None = None
    delay: float = 0.0

    def score(self, now_ms: int) -> int:
        """When the job is due, as arq's score in Unix milliseconds."""
        if self.delay > 0:
            return now_ms + int(self.delay * 1000)
        return first_place(now_ms) + min(max(self.behind or 0, 0), _MOST_BEHIND) * PLACE_MS

    @property
    def in_line(self) -> bool:
        """Whether its score may be moved to where its learner stands among the others."""
        return self.behind is not None and self.delay == 0

    def payload(self, now_ms: int) -> bytes:
        return dump_job({"t": None, "f": self.function, "a": self.args, "k": {}, "et": now_ms})


@dataclass(frozen=True, slots=True)
class Unexecuted:
    """A job that the queue gives up, as it was found there: `raw` is its payload, at most MOST_RAW bytes of it.

    `reason` says why in one word; `error` is what its function raised beyond the function's own borders.
    """

    job_id: str
    function: str | None
    reason: str
    raw: bytes = b""
    error: Exception | None = None

    def arguments(self) -> tuple[list[Any], dict[str, Any]] | None:
        """By place and by name; None when the payload is gone, cut or not in our format."""
        try:
            job = load_job(self.raw)
        except ValueError:
            return None
        return job["a"], job["k"]


def first_place(now_ms: int) -> int:
    """The score, by the clock, of a job whose learner waits for nothing else."""
    return now_ms - _HEAD_START_MS


def dump_job(payload: dict[str, Any]) -> bytes:
    """arq's `job_serializer`. A result (it has `s`) may hold an exception: why a job is dead."""
    return orjson.dumps(payload, default=str if "s" in payload else None)


def load_job(payload: bytes) -> dict[str, Any]:
    """arq's `job_deserializer`. Raises ValueError for anything but a job in our format; pickle is never tried."""
    job = orjson.loads(payload)
    if not isinstance(job, dict) or not _is_job(job):
        raise ValueError("not a job")
    return job


def _is_job(job: dict[str, Any]) -> bool:
    tries, enqueued = job.get("t"), job.get("et")
    return (
        isinstance(job.get("f"), str)
        and isinstance(job.get("a"), list)
        and isinstance(job.get("k"), dict)
        and (tries is None or type(tries) is int)
        and type(enqueued) is int
        and 0 <= enqueued < _LATEST_MS
    )
