"""Values as people read them. What is not known is a dash, which a screen reader reads as `unknown`."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
from markupsafe import Markup

from roadmap.monitor.model import PieceView
from roadmap.roadmaps.model import Kind

__all__ = ["FILTERS", "UNKNOWN", "count", "duration", "micros", "moment", "number", "percent", "plural", "size"]

UNKNOWN = Markup(
    '<span class="unknown" title="unknown"><span aria-hidden="true">–</span><span class="sr">unknown</span></span>'
)
SHORT = 400
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_STEPS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def count(value: float | None) -> str:
    """12345 → 12,345."""
    return UNKNOWN if value is None else f"{round(value):,}"


def number(value: float | None) -> str:
    """One decimal where it says something: 0.4, 7.5, 12, 1,240."""
    if value is None:
        return UNKNOWN
    return f"{value:.1f}".removesuffix(".0") if abs(value) < 10 else f"{round(value):,}"


def duration(seconds: float | None) -> str:
    """The two largest parts that matter: 240 ms, 1.4 s, 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.0005:
        return "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return _long(round(seconds))


def _long(seconds: int) -> str:
    for size_of_large, large, size_of_small, small in _STEPS:
        if seconds >= size_of_large:
            rest = seconds % size_of_large // size_of_small
            return f"{seconds // size_of_large} {large}" + (f" {rest} {small}" if rest else "")
    return f"{seconds} s"


def milliseconds(value: float | None) -> str:
    return duration(None if value is None else value / 1000)


def size(octets: float | None) -> str:
    """In powers of 1000, as disks and bills count."""
    if octets is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB"):
        if abs(octets) < 999.5:
            return f"{octets:.1f} {unit}" if octets < 9.95 and unit != "B" else f"{octets:.0f} {unit}"
        octets /= 1000
    return f"{octets:.1f} TB"


def micros(value: float | None) -> str:
    """Micro-dollars as dollars; small sums keep the digits that tell them apart."""
    if value is None:
        return UNKNOWN
    dollars = value / 1_000_000
    if dollars == 0 or abs(dollars) >= 1:
        return f"${dollars:,.2f}"
    return f"${dollars:.4f}" if abs(dollars) >= 0.0001 else f"${dollars:.6f}"


def percent(share: float | None) -> str:
    """A share of one: 0.0512 → 5.1 %."""
    if share is None:
        return UNKNOWN
    return f"{share * 100:.1f} %" if 0 < share < 0.0995 else f"{share * 100:.0f} %"


def moment(value: datetime | None) -> str:
    """As people write it, in UTC; a page says so once."""
    return UNKNOWN if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def clock(value: datetime | None) -> str:
    return UNKNOWN if value is None else value.astimezone(UTC).strftime("%H:%M:%S")


def machine_time(value: datetime) -> str:
    """For the attribute `datetime`."""
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def ago(value: datetime | None, now: datetime) -> str:
    """How long before `now`, in its largest unit."""
    if value is None:
        return UNKNOWN
    seconds = max(0, round((now - value).total_seconds()))
    for size_of_one, name in _UNITS:
        if seconds >= size_of_one:
            return f"{seconds // size_of_one} {name} ago"
    return "just now"


def plural(value: int, one: str, more: str = "") -> str:
    """1 run, 2 runs; `more` where it is not the word with an s."""
    return f"{value:,} {one if value == 1 else more or one + 's'}"


def words(value: Any) -> str:
    """A name of ours as words: write_concept → write concept."""
    return str(value).replace("_", " ")


def by_kind(pieces: Iterable[PieceView]) -> list[PieceView]:
    """In the order in which they are read."""
    return sorted(pieces, key=lambda piece: list(Kind).index(piece.kind))


def pretty(value: Any) -> str:
    """JSON to be read."""
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


def short(value: Any) -> str:
    """JSON in a line, cut off where it gets long."""
    text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return text if len(text) <= SHORT else text[:SHORT] + " …"


FILTERS = {
    "ago": ago, "by_kind": by_kind, "clock": clock,
    "count": count, "duration": duration, "machine_time": machine_time, "micros": micros,
    "milliseconds": milliseconds, "moment": moment, "number": number, "percent": percent, "plural": plural,
    "pretty": pretty, "short": short, "size": size, "words": words,
}  # fmt: skip
