"""GET /v1/roadmaps/{id}/log: what happened in the roadmap's runs, for people."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from roadmap.api.answers import JSONAnswer, utc
from roadmap.api.inputs import PLAIN_FORM, Plain
from roadmap.api.operation import Call, NoBody
from roadmap.api.pages import PageQuery, foreign_cursor, pack_cursor, page_answer, unpack_cursor
from roadmap.database import Database
from roadmap.errors import NotFound
from roadmap.execution_log import store
from roadmap.execution_log.model import Category, Entry, Level
from roadmap.ids import Prefix, parse_id, show_id
from roadmap.queue.client import Queue

__all__ = ["LogPage", "LogQuery", "read_log"]

# The log trails the run by a moment, and its times are by the workers' clocks, the run's by the database's.
TRAIL = timedelta(minutes=5)
_CURSOR = struct.Struct(">q16s")  # microseconds since 1970, id


class LogQuery(PageQuery):
    level: Annotated[Level, Field(description="the lowest level shown")] = Level.DEBUG
    category: Category | None = None
    step: Annotated[str | None, Field(min_length=1, max_length=100, json_schema_extra=PLAIN_FORM), Plain] = None
    concept: Annotated[str | None, Field(pattern="^cpt_[0-9a-f]{32}$", description="a concept's id")] = None
    q: Annotated[
        str | None,
        Field(min_length=1, max_length=200, description="looked for in the message", json_schema_extra=PLAIN_FORM),
        Plain,
    ] = None


class EntryModel(BaseModel):
    id: str
    at: str
    run_id: str
    concept_id: str | None
    step: str | None
    level: Level
    category: Category
    message: str
    details: dict[str, Any]
    duration_ms: int | None


class LogPage(BaseModel):
    data: list[EntryModel]
    has_more: bool
    next_cursor: str | None


async def read_log(db: Database, _queue: Queue, call: Call[NoBody, LogQuery]) -> JSONAnswer:
    """Oldest first. The log may trail a run's last event by a moment."""
    roadmap_id, query = call.path_id(Prefix.ROADMAP, "roadmap_id"), call.query
    after = _read_cursor(query.after)
    runs = await store.find_runs(db, call.user_id, roadmap_id)
    if not runs:
        raise NotFound("no such roadmap")
    period = store.Period(min(run.begin for run in runs) - TRAIL, max(run.end for run in runs) + TRAIL)
    run_ids = [run.id for run in runs]
    entries = await store.page(db, run_ids, period, _filters(query), after=after, limit=query.limit + 1)
    page = entries[: query.limit]
    more = _write_cursor(page[-1]) if len(entries) > query.limit else None
    return page_answer(call, [_show(entry) for entry in page], more)


def _filters(query: LogQuery) -> store.Filters:
    concept_id = parse_id(Prefix.CONCEPT, query.concept) if query.concept else None
    return store.Filters(query.level, query.category, query.step, concept_id, query.q)


def _show(entry: Entry) -> dict[str, Any]:
    return {
        "id": show_id(Prefix.LOG_ENTRY, entry.id),
        "at": utc(entry.at),
        "run_id": show_id(Prefix.RUN, entry.run_id),
        "concept_id": show_id(Prefix.CONCEPT, entry.concept_id) if entry.concept_id else None,
        "step": entry.step,
        "level": entry.level,
        "category": entry.category,
        "message": entry.message,
        "details": entry.details,
        "duration_ms": entry.duration_ms,
    }


def _write_cursor(entry: Entry) -> str:
    microseconds = round(entry.at.timestamp() * 1_000_000)
    return pack_cursor(_CURSOR.pack(microseconds, entry.id.bytes))


def _read_cursor(text: str | None) -> tuple[datetime, UUID] | None:
    """The time and id in a cursor. Raises Invalid when it is none of ours."""
    if text is None:
        return None
    microseconds, key = _CURSOR.unpack(unpack_cursor(text, _CURSOR.size))
    try:
        at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
    except OverflowError as exc:
        raise foreign_cursor() from exc
    return at, UUID(bytes=key)
