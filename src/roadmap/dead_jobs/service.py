"""What a queue gives up becomes a dead job."""

from typing import Any
from uuid import UUID

from roadmap.database import Database
from roadmap.dead_jobs import store
from roadmap.dead_jobs.cause import death_of, fingerprint, sanitise
from roadmap.dead_jobs.model import Death
from roadmap.dead_jobs.store import Work
from roadmap.queue.model import Unexecuted
from roadmap.redaction import Redactor

__all__ = ["bury_unexecuted"]

NAME_LIMIT = 200  # characters

# The queue's reasons, in words for people.
_MESSAGES = {
    "arguments": "its arguments do not fit the function: an older or newer version put it there",
    "expired": "nobody took it before its payload expired",
    "undecodable": "its payload cannot be read as a job",
    "unknown_function": "no worker here knows the function",
}


async def bury_unexecuted(db: Database, queue: str, dead: Unexecuted, redactor: Redactor | None = None) -> None:
    """Keeps a job that cannot be executed, with its arguments or else the beginning of its payload. Raises Outage."""
    function = None if dead.function is None else sanitise(dead.function, NAME_LIMIT)
    work = Work(
        queue=queue,
        function=function,
        payload=_payload(dead),
        attempts=1,
        run_id=_run_id(dead),
        job_id=sanitise(dead.job_id, NAME_LIMIT),
        raw=None if _payload(dead) is not None else dead.raw,
    )
    await store.bury_job(db, work, _death(redactor or Redactor(), dead, function))


def _death(redactor: Redactor, dead: Unexecuted, function: str | None) -> Death:
    if dead.error is not None:
        return death_of(redactor, dead.error, function or "")
    message = _MESSAGES.get(dead.reason, "the queue gave it up")
    return Death(dead.reason, type(dead).__name__, message, None, fingerprint(function, None, dead.reason))


def _payload(dead: Unexecuted) -> dict[str, Any] | None:
    arguments = dead.arguments()
    # PostgreSQL's jsonb has no null character; such a payload is kept as it came.
    if arguments is None or rb"\u0000" in dead.raw:
        return None
    by_place, by_name = arguments
    return {"args": by_place, **({"kwargs": by_name} if by_name else {})}


def _run_id(dead: Unexecuted) -> UUID | None:
    """Our jobs on content name their run first."""
    match dead.arguments():
        case [[str(first), *_], _]:
            return _uuid(first)
    return None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(hex=text)
    except ValueError:
        return None
