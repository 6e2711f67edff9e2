"""What a provider's HTTP status means to us: wait, or give this piece up."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from roadmap.errors import Busy, Outage, Unusable

__all__ = ["failure", "reason", "retry_after"]

_WAIT = {408, 409, 425}
_LEAST_PAUSE, _MOST_PAUSE = 1.0, 300.0
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?")
# Only what is clearly an identifier leaves the body: messages may quote the key or the prompt.
_REASON = re.compile(r'"(?:code|type)"\s*:\s*"([\w.-]{1,64})"')


def failure(status: int, headers: Mapping[str, str], now: datetime) -> Outage | Unusable:
    """The error for a status that is not 200. `headers` has lower-case names."""
    pause = retry_after(headers, now)
    if status == 429:
        return Busy("the model's provider asks us to wait", retry_in=pause or 10)
    if status in _WAIT or status >= 500:
        return Outage("the model's provider is in trouble", retry_in=pause or 5)
    if status in {401, 403}:
        return Unusable("provider_refused_key", "the model's provider refused our key")
    if status == 404:
        return Unusable("provider_unknown_model", "the model's provider does not know the model or the address")
    return Unusable("provider_refused", f"the model's provider refused the request ({status})")


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait, 1 to 300, from `retry-after-ms` or `retry-after` (seconds or a date); None when not told."""
    milliseconds = _number(headers.get("retry-after-ms"))
    seconds = milliseconds / 1000 if milliseconds is not None else _seconds(headers.get("retry-after"), now)
    if seconds is None:
        return None
    return min(max(seconds, _LEAST_PAUSE), _MOST_PAUSE)


def _seconds(value: str | None, now: datetime) -> float | None:
    if value is None:
        return None
    number = _number(value)
    if number is not None:
        return number
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    # RFC 9110 dates are GMT; one that names no zone comes back without one.
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()


def _number(value: str | None) -> float | None:
    if value is None or not _NUMBER.fullmatch(value.strip()):
        return None
    return float(value)


def reason(complaint: str) -> str | None:
    """The provider's own short code for an error, for diagnostics."""
    found = _REASON.search(complaint)
    return found[1] if found else None
