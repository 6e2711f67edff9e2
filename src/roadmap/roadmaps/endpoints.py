"""GET /v1/roadmaps and GET /v1/roadmaps/{id}."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from roadmap.api.answers import JSONAnswer, utc
from roadmap.api.inputs import PLAIN_FORM, Moment, Plain
from roadmap.api.operation import Call, NoBody, NoQuery
from roadmap.api.pages import PageQuery, page_answer, read_cursor, write_cursor
from roadmap.database import Database, Row
from roadmap.errors import NotFound
from roadmap.ids import Prefix, show_id
from roadmap.queue.client import Queue
from roadmap.roadmaps import store
from roadmap.roadmaps.model import RunStatus

__all__ = ["ListQuery", "RoadmapList", "RoadmapModel", "list_roadmaps", "read_roadmap", "show_links"]


class ListQuery(PageQuery):
    status: Annotated[RunStatus | None, Field(description="of the latest run")] = None
    q: Annotated[
        str | None,
        Field(min_length=1, max_length=200, description="looked for in goal and title", json_schema_extra=PLAIN_FORM),
        Plain,
    ] = None
    created_after: Annotated[Moment | None, Field(description="RFC 3339")] = None


class LinksModel(BaseModel):
    self: str
    events: str
    log: str
    runs: str
    cancel: str
    complete: Annotated[str | None, Field(description="there while something is missing and no run is active")] = None


class PieceModel(BaseModel):
    status: str
    version: int
    error: dict[str, str] | None = None


class ConceptModel(BaseModel):
    id: str
    key: str
    title: str
    summary: str
    minutes: int
    requires: list[str]
    objectives: list[str]
    content: dict[str, PieceModel]


class ModuleModel(BaseModel):
    id: str
    title: str
    concepts: list[ConceptModel]


class StageModel(BaseModel):
    id: str
    title: str
    modules: list[ModuleModel]


class PlanModel(BaseModel):
    version: int
    title: str
    summary: str
    minutes: int
    concepts: int
    report: dict[str, Any]
    stages: list[StageModel]


class LatestRunModel(BaseModel):
    id: str
    kind: str
    status: RunStatus
    error: dict[str, Any] | None
    started_at: str | None
    planned_at: str | None
    finished_at: str | None


class SummaryModel(BaseModel):
    id: str
    goal: str
    title: str | None
    status: RunStatus
    version: int | None
    concepts: int | None
    minutes: int | None
    created_at: str
    updated_at: str


class RoadmapList(BaseModel):
    data: list[SummaryModel]
    has_more: bool
    next_cursor: str | None


class RoadmapModel(BaseModel):
    id: str
    goal: str
    title: str | None
    status: RunStatus
    preferences: dict[str, Any]
    run: LatestRunModel
    plan: PlanModel | None
    content: dict[str, int]
    max_cost_micros: Annotated[int | None, Field(description="the budget, in micro-dollars; null: no limit")]
    cost_micros: Annotated[int, Field(description="what its model calls have cost so far, in micro-dollars")]
    event_seq: int
    created_at: str
    updated_at: str
    links: LinksModel


async def list_roadmaps(db: Database, _queue: Queue, call: Call[NoBody, ListQuery]) -> JSONAnswer:
    """The caller's roadmaps, newest first."""
    query = call.query
    filters = store.Filters(query.status, query.q, query.created_after)
    rows = await store.list_roadmaps(db, call.user_id, filters, read_cursor(query.after), query.limit + 1)
    page = rows[: query.limit]
    more = write_cursor(page[-1]["id"]) if len(rows) > query.limit else None
    return page_answer(call, [_show_summary(row) for row in page], more)


async def read_roadmap(db: Database, _queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """The plan with the state of every concept's content."""
    roadmap_id = call.path_id(Prefix.ROADMAP, "roadmap_id")
    row = await store.find_roadmap(db, call.user_id, roadmap_id)
    if row is None:
        raise NotFound("no such roadmap")
    pieces = await store.list_pieces(db, roadmap_id) if row["structure"] else []
    return JSONAnswer(_show_roadmap(row, pieces))


def show_links(roadmap_id: UUID, run_id: UUID) -> dict[str, str]:
    path = f"/v1/roadmaps/{show_id(Prefix.ROADMAP, roadmap_id)}"
    run = f"/v1/runs/{show_id(Prefix.RUN, run_id)}"
    return {
        "self": path,
        "events": f"{path}/events",
        "log": f"{path}/log",
        "runs": f"{path}/runs",
        "cancel": f"{run}/cancel",
    }


def _show_summary(row: Row) -> dict[str, Any]:
    return {
        "id": show_id(Prefix.ROADMAP, row["id"]),
        "goal": row["goal"],
        "title": row["title"],
        "status": row["status"],
        "version": row["current_version"],
        "concepts": row["concept_count"],
        "minutes": row["minutes"],
        "created_at": utc(row["created_at"]),
        "updated_at": utc(row["updated_at"]),
    }


def _show_roadmap(row: Row, pieces: list[Row]) -> dict[str, Any]:
    counts: dict[str, int] = {"pending": 0, "writing": 0, "ready": 0, "failed": 0}
    for piece in pieces:
        counts[piece["status"]] += 1
    links = show_links(row["id"], row["run_id"])
    if row["finished_at"] and not (row["structure"] and counts["ready"] == len(pieces)):
        links["complete"] = f"{links['self']}/complete"
    return {
        "id": show_id(Prefix.ROADMAP, row["id"]),
        "goal": row["goal"],
        "title": row["title"],
        "status": row["status"],
        "preferences": row["preferences"],
        "run": _show_run(row),
        "plan": _show_plan(row, pieces) if row["structure"] else None,
        "content": counts,
        "max_cost_micros": row["max_cost_micros"],
        "cost_micros": row["cost_micros"],
        "event_seq": row["event_seq"],
        "created_at": utc(row["created_at"]),
        "updated_at": utc(row["updated_at"]),
        "links": links,
    }


def _show_run(row: Row) -> dict[str, Any]:
    error = None
    if row["error_code"]:
        error = {"code": row["error_code"], "message": row["error_message"], "report": row["run_report"]}
    return {
        "id": show_id(Prefix.RUN, row["run_id"]),
        "kind": row["run_kind"],
        "status": row["status"],
        "error": error,
        "started_at": utc(row["started_at"]),
        "planned_at": utc(row["planned_at"]),
        "finished_at": utc(row["finished_at"]),
    }


def _show_plan(row: Row, pieces: list[Row]) -> dict[str, Any]:
    structure: dict[str, Any] = row["structure"]
    content: dict[str, dict[str, Any]] = {}
    for piece in pieces:
        content.setdefault(show_id(Prefix.CONCEPT, piece["concept_id"]), {})[piece["kind"]] = _show_piece(piece)
    for stage in structure["stages"]:
        for module in stage["modules"]:
            for concept in module["concepts"]:
                concept["content"] = content.get(concept["id"], {})
    return {
        "version": row["current_version"],
        "title": structure["title"],
        "summary": structure["summary"],
        "minutes": row["minutes"],
        "concepts": row["concept_count"],
        "report": row["report"],
        "stages": structure["stages"],
    }


def _show_piece(piece: Row) -> dict[str, Any]:
    shown: dict[str, Any] = {"status": piece["status"], "version": piece["version"]}
    if piece["error_code"]:
        shown["error"] = {"code": piece["error_code"], "message": piece["error_message"]}
    return shown
