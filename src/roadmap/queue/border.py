"""The edge between arq and what is plugged into it: hooks that fail, bugs, arguments that do not fit."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import orjson
import structlog
from arq.typing import StartupShutdown
from arq.worker import Function, Retry, RetryJob

from roadmap.queue.model import Unexecuted
from roadmap.queue.observer import Outcome

__all__ = ["OnDead", "guard_function", "harmless", "read_cause"]

log = structlog.get_logger()

OnDead = Callable[[Unexecuted], Awaitable[None]]
OnMisfit = Callable[[str, str], Awaitable[None]]
OnBug = Callable[[str, str, Exception], Awaitable[None]]

# arq's words (it has no codes) and ours.
_REASONS = {
    "job expired": "expired",
    "unable to deserialize job": "undecodable",
    "function ": "unknown_function",
    "max ": "max_tries",
}


def harmless(hook: StartupShutdown | None) -> StartupShutdown | None:
    """The hook, but its failure is a traceback in diagnostics: with arq it would end the worker."""
    if hook is None:
        return None

    async def guarded(ctx: dict[Any, Any]) -> None:
        try:
            await hook(ctx)
        except Exception:
            log.exception("hook_failed", hook=getattr(hook, "__qualname__", repr(hook)))

    return guarded


def guard_function(function: Function, on_misfit: OnMisfit, on_bug: OnBug) -> Function:
    """The function, but a payload whose arguments do not fit (an older version's) goes to `on_misfit(job_id, name)`,
    and of what it raises `on_bug` hears as well: arq would only log it."""
    signature = inspect.signature(function.coroutine)

    async def guarded(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> Any:
        if not _fits(signature, ctx, *args, **kwargs):
            await on_misfit(ctx["job_id"], function.name)
            return Outcome.FAILED
        try:
            return await function.coroutine(ctx, *args, **kwargs)
        except (Retry, RetryJob):
            raise
        except Exception as exc:
            await on_bug(ctx["job_id"], function.name, exc)
            raise

    return replace(function, coroutine=guarded)


def read_cause(result: bytes | None) -> tuple[str | None, str]:
    """Function and reason from the result that arq makes for a job that it will not execute."""
    if result is None:
        return None, "unknown"
    record = orjson.loads(result)
    words = str(record["r"])
    function = None if record["f"] == "<unknown>" else str(record["f"])
    return function, next((reason for start, reason in _REASONS.items() if words.startswith(start)), words)


def _fits(signature: inspect.Signature, *args: Any, **kwargs: Any) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True
