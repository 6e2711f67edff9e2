"""GET …/concepts/{id}/tutorial, /resources and /quiz."""

from typing import Annotated, Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from roadmap.api.answers import JSONAnswer, utc
from roadmap.api.inputs import Digits
from roadmap.api.operation import Call, NoBody, Query
from roadmap.content import store
from roadmap.content.model import ContentStatus, FoundResources
from roadmap.content.quiz import hide_key
from roadmap.content.resources import fill_gaps
from roadmap.database import Database, Row
from roadmap.errors import NotFound
from roadmap.ids import Prefix, show_id
from roadmap.queue.client import Queue
from roadmap.roadmaps.model import Kind

__all__ = ["PieceAnswer", "ResourcesPieceAnswer", "VersionQuery", "read_quiz", "read_resources", "read_tutorial"]

MARKDOWN = "text/markdown"


class VersionQuery(Query):
    version: Annotated[int | None, Field(ge=1, le=1_000_000, description="a version; left out: the latest"), Digits] = (
        None
    )


class _Piece(BaseModel):
    concept_id: str
    kind: Kind
    status: ContentStatus
    version: int | None
    latest_version: int
    created_at: str | None
    error: dict[str, str] | None


class PieceAnswer(_Piece):
    """A piece of content. `body` is null until the piece is ready; its form depends on `kind`."""

    body: dict[str, Any] | None


class ResourcesBody(FoundResources):
    """`check` says whether a page was there when somebody last looked (`checked_at`). `rejected` are the addresses that
    the model named and that were left out."""

    provider: str
    model: str


class ResourcesPieceAnswer(_Piece):
    """The resources. `body` is null until they are ready."""

    body: ResourcesBody | None


async def read_tutorial(db: Database, _queue: Queue, call: Call[NoBody, VersionQuery]) -> Response:
    """The tutorial; as bare Markdown when that is what the caller accepts."""
    shown = await _read(db, call, Kind.TUTORIAL)
    if shown["body"] is not None and _wants_markdown(call):
        return Response(shown["body"]["markdown"], media_type=MARKDOWN)
    return JSONAnswer(shown)


async def read_resources(db: Database, _queue: Queue, call: Call[NoBody, VersionQuery]) -> Response:
    """The resources, each with what is known about its link."""
    shown = await _read(db, call, Kind.RESOURCES)
    if shown["body"] is not None:
        shown["body"] = fill_gaps(shown["body"])
    return JSONAnswer(shown)


async def read_quiz(db: Database, _queue: Queue, call: Call[NoBody, VersionQuery]) -> Response:
    """The quiz, without its key."""
    shown = await _read(db, call, Kind.QUIZ)
    if shown["body"] is not None:
        shown["body"] = hide_key(shown["body"])
    return JSONAnswer(shown)


async def _read(db: Database, call: Call[NoBody, VersionQuery], kind: Kind) -> dict[str, Any]:
    place = store.Place(
        call.user_id,
        call.path_id(Prefix.ROADMAP, "roadmap_id"),
        call.path_id(Prefix.CONCEPT, "concept_id"),
        kind,
    )
    row = await store.find_body(db, place, call.query.version)
    if row is None or (call.query.version is not None and row["version"] is None):
        raise NotFound(f"no such {kind}")
    return _show(place, row)


def _show(place: store.Place, row: Row) -> dict[str, Any]:
    error = {"code": row["error_code"], "message": row["error_message"]} if row["error_code"] else None
    return {
        "concept_id": show_id(Prefix.CONCEPT, place.concept_id),
        "kind": place.kind.value,
        "status": row["status"],
        "version": row["version"],
        "latest_version": row["latest"],
        "created_at": utc(row["created_at"]),
        "error": error,
        "body": row["body"],
    }


def _wants_markdown(call: Call[NoBody, VersionQuery]) -> bool:
    accept = call.request.headers.get("accept", "")
    return MARKDOWN in accept and "application/json" not in accept
