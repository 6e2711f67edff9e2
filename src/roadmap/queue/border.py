"""The edge between arq and what is plugged into it: hooks that fail, arguments that do not fit, causes of death."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import orjson
import structlog
from arq.typing import StartupShutdown
from arq.worker import Function

__all__ = ["OnDead", "check_arguments", "harmless", "read_cause"]

log = structlog.get_logger()

# Job id, function name if it could be read, reason.
OnDead = Callable[[str, str | None, str], Awaitable[None]]

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


def check_arguments(function: Function, on_misfit: Callable[[str, str], Awaitable[None]]) -> Function:
    """The function, but a payload whose arguments do not fit (an older version's) goes to `on_misfit(job_id, name)`."""
    signature = inspect.signature(function.coroutine)

    async def checked(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> Any:
        if not _fits(signature, ctx, *args, **kwargs):
            return await on_misfit(ctx["job_id"], function.name)
        return await function.coroutine(ctx, *args, **kwargs)

    return replace(function, coroutine=checked)


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
