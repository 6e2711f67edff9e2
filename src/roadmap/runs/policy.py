"""How patient the jobs of a run are. Times in seconds."""

from datetime import UTC, datetime, timedelta

from roadmap.errors import BudgetExceeded, NotYet, Outage, TimedOut, Unusable

__all__ = [
    "ANY",
    "MOST_CRASHES",
    "RETRY_IN",
    "SUSPECT",
    "TIMEOUT",
    "internal",
    "is_last_try",
    "over",
    "too_late",
    "worker_died",
]

# The model broke its contract, also after repair. Each try may cost three calls.
MOST_FAILURES = 2
# The model did not end within LLM_TIMEOUT: the provider may be having a bad time, or the question be too large for it.
MOST_TIMEOUTS = 5
# Leases that ran out. After one less the work is a suspect (suspects.py).
MOST_CRASHES = 3
SUSPECT = MOST_CRASHES - 1
ANY = 1_000_000
RETRY_IN = 1.0
# One job. Its calls have time-outs of their own; arq's, which is final, comes later.
TIMEOUT = 1_800.0
# A provider that is away for so long is no outage any more: a run must end some day.
GIVE_UP_AFTER = timedelta(hours=24)


def is_last_try(failures: int, error: Exception) -> bool:
    """Whether work that failed `failures` times before is given up with this error."""
    if isinstance(error, BudgetExceeded):
        return True  # it stays spent, until a person raises it
    return failures + 1 >= (MOST_TIMEOUTS if isinstance(error, TimedOut) else MOST_FAILURES)


def too_late(since: datetime, outage: Outage) -> Unusable | None:
    """What to give the work up with, when it has waited since then for too long. Our own work ends by itself."""
    if isinstance(outage, NotYet) or datetime.now(UTC) - since < GIVE_UP_AFTER:
        return None
    hours = GIVE_UP_AFTER.total_seconds() / 3600
    return _because(outage, Unusable("provider_unavailable", f"{outage}, for more than {hours:.0f} hours"))


def over(error: TimedOut) -> Unusable:
    return _because(error, Unusable("model_timeout", f"{error}, {MOST_TIMEOUTS} times"))


def worker_died(crashes: int) -> Unusable:
    return Unusable("worker_died", f"{crashes} workers died at this")


def internal(exc: Exception) -> Unusable:
    """A bug's public face; its traceback is in diagnostics, and in the dead job that it may become."""
    if isinstance(exc, TimeoutError):
        return _because(exc, Unusable("timeout", f"not done within {TIMEOUT:.0f} s"))
    return _because(exc, Unusable("internal", f"an internal error ({type(exc).__name__})"))


def _because(cause: Exception, error: Unusable) -> Unusable:
    """As `raise error from cause` would have it: these errors are handed on, not raised."""
    error.__cause__ = cause
    return error
