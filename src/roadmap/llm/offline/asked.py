"""Reads the fields of a prompt's input without trusting it: a wrong or missing field counts as not said."""

from collections.abc import Iterator, Mapping
from typing import Any

from roadmap.llm.offline.pack import Language

__all__ = ["Asked", "records", "said_language", "said_line", "said_lines", "said_number"]

Asked = Mapping[str, Any]
_MOST_RECORDS = 200


def said_line(asked: Asked, name: str, longest: int = 1_000) -> str:
    """Text in one line; empty when there is none."""
    value = asked.get(name)
    return " ".join(value[: 4 * longest].split())[:longest] if isinstance(value, str) else ""


def said_lines(asked: Asked, name: str, most: int = 20) -> tuple[str, ...]:
    value = asked.get(name)
    if not isinstance(value, list):
        return ()
    return tuple(" ".join(line.split()) for line in value[:most] if isinstance(line, str) and line.strip())


def said_number(asked: Asked, name: str) -> int | None:
    value = asked.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def said_language(asked: Asked) -> Language:
    return "zh" if said_line(asked, "language").casefold().startswith("zh") else "en"


def records(asked: Asked, name: str) -> Iterator[Asked]:
    """The objects in a list."""
    value = asked.get(name)
    yield from (
        record for record in (value if isinstance(value, list) else [])[:_MOST_RECORDS] if isinstance(record, dict)
    )
