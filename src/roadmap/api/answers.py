"""JSON answers, by orjson."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response

__all__ = ["JSONAnswer", "utc"]

# UUIDs never leave bare: they go out behind their prefix.
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


class JSONAnswer(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, default=_refuse_uuid, option=_OPTIONS | orjson.OPT_PASSTHROUGH_SUBCLASS)


def utc(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refuse_uuid(value: object) -> str:
    if isinstance(value, UUID):
        raise TypeError("an id goes out behind its prefix")
    return str(value)
