"""Lists by cursor: opaque, url-safe, and made from the last row's key."""

import base64
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from roadmap.api.answers import JSONAnswer
from roadmap.api.inputs import Digits
from roadmap.api.operation import Call, Query
from roadmap.errors import Fault, Invalid

__all__ = ["PageQuery", "foreign_cursor", "pack_cursor", "page_answer", "read_cursor", "unpack_cursor", "write_cursor"]


class PageQuery(Query):
    limit: Annotated[int, Field(ge=1, le=100, description="rows on a page"), Digits] = 20
    after: Annotated[str | None, Field(max_length=200, description="`next_cursor` of the page before")] = None


def write_cursor(key: UUID) -> str:
    return pack_cursor(key.bytes)


def read_cursor(text: str | None) -> UUID | None:
    """The key in a cursor. Raises Invalid when it is none of ours."""
    if text is None:
        return None
    return UUID(bytes=unpack_cursor(text, 16))


def pack_cursor(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def unpack_cursor(text: str, size: int) -> bytes:
    """The `size` bytes in a cursor. Raises Invalid unless it is written just as `pack_cursor` writes it."""
    try:
        key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:  # also binascii's
        key = b""
    if len(key) != size or pack_cursor(key) != text:
        raise foreign_cursor()
    return key


def foreign_cursor() -> Invalid:
    fault = Fault("after", "invalid_cursor", "use the `next_cursor` of a page as it was given")
    return Invalid("this cursor is not one of ours", [fault])


def page_answer(call: Call[Any, Any], rows: Sequence[dict[str, Any]], next_cursor: str | None) -> JSONAnswer:
    """`{data, has_more, next_cursor}` and a Link header (RFC 8288) to the next page."""
    content = {"data": rows, "has_more": next_cursor is not None, "next_cursor": next_cursor}
    answer = JSONAnswer(content)
    if next_cursor is not None:
        url = call.request.url.include_query_params(after=next_cursor)
        answer.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return answer
