"""An entry of the execution log, and its text on the way to PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

import orjson

__all__ = ["JSON", "Category", "Entry", "Level", "encode", "scrub"]

JSON: TypeAlias = bool | int | float | str | UUID | datetime | Sequence["JSON"] | Mapping[str, "JSON"] | None

MESSAGE_LIMIT = 8_000  # characters
DETAILS_LIMIT = 32_000  # bytes of JSON
_DEPTH_LIMIT = 12
_ITEMS_LIMIT = 1_000


class Level(StrEnum):
    """In rising order."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    def and_above(self) -> list["Level"]:
        levels = list(Level)
        return levels[levels.index(self) :]


class Category(StrEnum):
    RUN = "run"
    STEP = "step"
    MODEL = "model"
    CONTENT = "content"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened in a run. `duration_ms` is in milliseconds, `at` in UTC."""

    id: UUID
    at: datetime
    run_id: UUID
    concept_id: UUID | None
    step: str | None
    level: Level
    category: Category
    message: str
    details: Mapping[str, JSON]
    duration_ms: int | None


def encode(fields: dict[str, JSON]) -> bytes:
    """An entry's fields as one JSON object that PostgreSQL accepts. Never raises: what has no JSON becomes its text.

    A dict and not an Entry: building the frozen value would cost more than all the rest of a note.
    """
    try:
        text = orjson.dumps(fields, default=str)
    except orjson.JSONEncodeError:
        text = b"\\u0000"
    if len(text) <= MESSAGE_LIMIT and b"\\u0000" not in text:
        return text
    return orjson.dumps({**fields, **_cut(fields)})


def _cut(fields: dict[str, JSON]) -> dict[str, JSON]:
    step, duration_ms = fields["step"], fields["duration_ms"]
    details = scrub(fields["details"])
    written = orjson.dumps(details)
    if len(written) > DETAILS_LIMIT:
        details = {"cut": written[:DETAILS_LIMIT].decode(errors="ignore")}
    return {
        "step": None if step is None else _text(step),
        "message": _text(fields["message"])[:MESSAGE_LIMIT],
        "details": details,
        "duration_ms": scrub(duration_ms),
    }


def scrub(value: object, depth: int = 0) -> JSON:
    """`value` without what JSON or PostgreSQL refuses: null bytes, lone surrogates, huge integers, deep nesting."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)[:100]
    if isinstance(value, Mapping) and depth < _DEPTH_LIMIT:
        pairs = zip(value.items(), range(_ITEMS_LIMIT), strict=False)
        return {_text(key): scrub(item, depth + 1) for (key, item), _ in pairs}
    if isinstance(value, list | tuple) and depth < _DEPTH_LIMIT:
        return [scrub(item, depth + 1) for item in value[:_ITEMS_LIMIT]]
    return _text(value)


def _text(value: object) -> str:
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - a stranger's __str__; an entry must not cost the work that it tells of
        text = f"<{type(value).__name__}>"
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
