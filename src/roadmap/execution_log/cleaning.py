"""Makes refused entries acceptable where that loses little, and says of the others what is wrong with them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from roadmap.execution_log.model import Category, Level, scrub

__all__ = ["Entries", "Refusal", "clean", "dump", "parse"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """`id` is the entry's, when that at least can be read."""

    id: UUID | None
    raw: bytes
    error: str


@dataclass(frozen=True, slots=True)
class Entries:
    good: list[dict[str, object]]
    refused: list[Refusal]


def parse(text: str) -> list[object]:
    """The array's items. Raises ValueError. The standard parser takes what orjson refuses: surrogates, deep nesting."""
    try:
        items = orjson.loads(text)
    except ValueError:
        try:
            items = json.loads(text, parse_int=_integer)
        except RecursionError as exc:
            raise ValueError("nested too deeply") from exc
    if not isinstance(items, list):
        raise ValueError("not an array")  # noqa: TRY004 - one error for all that cannot be read
    return items


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) < 20 else digits


def dump(value: object) -> bytes:
    """`value` as JSON, for a dead letter as it came: also with lone surrogates."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value, default=str).encode()


def clean(items: list[object]) -> Entries:
    """Without an id, a time and a run an entry cannot be stored; anything else is mended."""
    good: list[dict[str, object]] = []
    refused: list[Refusal] = []
    for item in items:
        try:
            good.append(_mend(item))
        except (ValueError, KeyError, OverflowError) as exc:
            refused.append(Refusal(_id_of(item), dump(item), f"{type(exc).__name__}: {exc}"))
    return Entries(good, refused)


def _mend(item: object) -> dict[str, object]:
    if not isinstance(item, Mapping):
        raise ValueError("not an object")  # noqa: TRY004 - one error for all that cannot be stored
    details = scrub(item.get("details") or {})
    return {
        "id": str(UUID(str(item["id"]))),
        "at": datetime.fromisoformat(str(item["at"])).isoformat(),
        "run_id": str(UUID(str(item["run_id"]))),
        "concept_id": _uuid(item.get("concept_id")),
        "step": None if item.get("step") is None else scrub(str(item["step"])),
        "level": item.get("level") if item.get("level") in set(Level) else Level.INFO,
        "category": item.get("category") if item.get("category") in set(Category) else Category.RUN,
        "message": scrub(str(item.get("message", ""))),
        "details": details if isinstance(details, dict) else {"value": details},
        "duration_ms": _milliseconds(item.get("duration_ms")),
    }


def _id_of(item: object) -> UUID | None:
    found = _uuid(item.get("id")) if isinstance(item, Mapping) else None
    return None if found is None else UUID(found)


def _uuid(value: object) -> str | None:
    try:
        return str(UUID(str(value)))
    except ValueError:
        return None


def _milliseconds(value: object) -> int | None:
    if isinstance(value, int | float) and 0 <= value < 2**31:
        return int(value)
    return None
