"""From an exception to what a dead job says about it: class, public message, traceback, fingerprint."""

import hashlib
from collections.abc import Iterator
from traceback import TracebackException
from types import TracebackType

from roadmap.dead_jobs.model import Death
from roadmap.errors import RoadmapError, Unusable
from roadmap.redaction import Redactor

__all__ = ["death_of", "fingerprint", "sanitise"]

MESSAGE_LIMIT = 2_000  # characters
TRACEBACK_LIMIT = 16_000
FINGERPRINT_DIGITS = 16
INNERMOST = 4
OURS = ("roadmap", "workers")


def death_of(redactor: Redactor, error: Exception, function: str, kind: str | None = None) -> Death:
    """What is told of work that ended with this error. The class and the traceback are those of its first cause.
    Nobody's message should hold a secret; should it, that stays out of the table."""
    root = _root(error)
    code = error.code if isinstance(error, Unusable) else "internal"
    message = str(error) if isinstance(error, RoadmapError) else f"an internal error ({type(root).__name__})"
    # Of a bug the place counts; what the model or a server did wrong is the same wherever we noticed it.
    places = tuple(_places(root.__traceback__))[-INNERMOST:] if code == "internal" else ()
    return Death(
        code=code,
        error_class=type(root).__name__,
        message=sanitise(redactor.text(message), MESSAGE_LIMIT),
        traceback=_traceback(redactor, error),
        fingerprint=fingerprint(function, kind, code, type(root).__name__, *places),
    )


def fingerprint(*parts: str | None) -> str:
    """The same for the same fault: no line numbers and no ids go into it."""
    text = "\0".join(part or "" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:FINGERPRINT_DIGITS]


def sanitise(text: str, limit: int) -> str:
    """`text` as PostgreSQL takes it, its end cut off at `limit`."""
    return text[:limit].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _root(error: BaseException) -> BaseException:
    """The first cause. A task group wraps what its tasks raise: the first of them stands for all."""
    seen = {id(error)}
    while (cause := _cause(error)) is not None and id(cause) not in seen:
        seen.add(id(cause))
        error = cause
    return error


def _cause(error: BaseException) -> BaseException | None:
    return error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__


def _places(frames: TracebackType | None) -> Iterator[str]:
    """Our own functions on the way to the fault, the innermost last."""
    while frames is not None:
        module = str(frames.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in OURS:
            yield f"{module}:{frames.tb_frame.f_code.co_qualname}"
        frames = frames.tb_next


def _traceback(redactor: Redactor, error: Exception) -> str | None:
    """Without local variables, which hold keys and prompts. None for an error that was never raised, such as a worker's
    death."""
    told = error.__cause__ or error
    if told.__traceback__ is None:
        return None
    text = redactor.text("".join(TracebackException.from_exception(told, capture_locals=False).format()))
    if len(text) > TRACEBACK_LIMIT:  # the fault is at one end, and what hides it may be a long message or a deep stack
        text = f"{text[: TRACEBACK_LIMIT // 2 - 3]}\n…\n{text[-TRACEBACK_LIMIT // 2 :]}"
    return sanitise(text, TRACEBACK_LIMIT)
