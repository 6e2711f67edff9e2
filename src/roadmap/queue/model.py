"""A job, and the JSON in which arq's keys carry it."""

from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["KEPT_MS", "Job", "dump_job", "load_job"]

# How long a payload waits for a worker: 7 days. PostgreSQL's sweeper is the one who remembers for longer.
KEPT_MS = 7 * 24 * 3600 * 1000
# The fairness offset stays below the head start of an hour, so that a score is always in the past.
_HEAD_START = 3600
_MOST_BEHIND = _HEAD_START - 1
_LATEST_MS = 10**14


@dataclass(frozen=True, slots=True)
class Job:
    """One item on a queue.

    `id` blocks a duplicate only while it is queued or running. `args` are ids, never contents (log batches: JSON text).
    `behind` counts the outstanding jobs of the same learner; each costs a second in line. `delay` is in seconds and
    takes the place of fairness; it is for the back-off of log batches only.
    """

    function: str
    id: str
    args: tuple[str | int, ...] = ()
    behind: int = 0
    delay: float = 0.0

    def score(self, now_ms: int) -> int:
        """When the job is due, as arq's score in Unix milliseconds."""
        if self.delay > 0:
            return now_ms + int(self.delay * 1000)
        return now_ms - (_HEAD_START - min(max(self.behind, 0), _MOST_BEHIND)) * 1000

    def payload(self, now_ms: int) -> bytes:
        return dump_job({"t": None, "f": self.function, "a": self.args, "k": {}, "et": now_ms})


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
