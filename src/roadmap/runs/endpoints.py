"""POST /v1/roadmaps, the runs of a roadmap, and their cancellation."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from pydantic.config import JsonDict
from starlette.responses import Response

from roadmap.api.answers import JSONAnswer, utc
from roadmap.api.idempotency import mark_replay, once
from roadmap.api.inputs import Day, Plain, Whole
from roadmap.api.operation import Body, Call, NoBody, NoQuery
from roadmap.api.pages import PageQuery, page_answer, read_cursor, write_cursor
from roadmap.database import Database, Executor
from roadmap.errors import NotFound
from roadmap.ids import Prefix, parse_id, show_id
from roadmap.queue.client import Queue
from roadmap.roadmaps import store as roadmaps
from roadmap.roadmaps.endpoints import LinksModel, show_links
from roadmap.roadmaps.model import Format, Kind, LearnerLevel, Size, Wishes
from roadmap.runs import complete, service, store
from roadmap.runs.complete import Begun
from roadmap.runs.model import ACTIVE, Run, RunKind, RunStatus
from roadmap.runs.store import NewBudget

__all__ = [
    "CompleteRoadmap",
    "CompletionModel",
    "CreateRoadmap",
    "CreatedModel",
    "Micros",
    "RunDetail",
    "RunList",
    "RunModel",
    "cancel_run",
    "complete_roadmap",
    "create_roadmap",
    "list_runs",
    "read_run",
]


def _in_future(day: date) -> date:
    if day <= datetime.now(UTC).date():
        raise ValueError("give a day in the future")
    return day


def _once_each(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("name each thing once")
    return values


# What the validators say in Python, said in the OpenAPI document: three characters or more between the blanks.
_GOAL_FORM: JsonDict = {"pattern": r"^[^\x00]*[^\s\x00][^\x00]+[^\s\x00][^\x00]*$"}
_TEXT_FORM: JsonDict = {"pattern": r"^[^\x00]*$"}
_UNIQUE: JsonDict = {"uniqueItems": True}

Text = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=4_000), Plain, Field(json_schema_extra=_TEXT_FORM)
]
Goal = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=3, max_length=2_000),
    Plain,
    Field(description="in your own words", json_schema_extra=_GOAL_FORM),
]
# A budget. More than a million dollars is a slip of the pen.
Micros = Annotated[int, Field(ge=1, le=10**12, strict=True), Whole]


class CreateRoadmap(Body):
    """What you want to learn. Only `goal` is needed; level, hours and weeks are read from it where it names them."""

    goal: Goal
    level: LearnerLevel | None = None
    hours_per_week: Annotated[int | None, Field(ge=1, le=168, strict=True), Whole] = None
    deadline: Annotated[Annotated[Day, AfterValidator(_in_future)] | None, Field(description="a day in the future")] = (
        None
    )
    background: Annotated[Text, Field(description="what you know already")] = ""
    motivation: Text = ""
    formats: Annotated[
        tuple[Format, ...], Field(max_length=len(Format), json_schema_extra=_UNIQUE), AfterValidator(_once_each)
    ] = ()
    language: Annotated[
        str, StringConstraints(pattern=r"^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8}){0,3}$"), Field(description="BCP 47")
    ] = "en"
    size: Size = Size.MEDIUM
    kinds: Annotated[
        tuple[Kind, ...],
        Field(min_length=1, max_length=len(Kind), json_schema_extra=_UNIQUE),
        AfterValidator(_once_each),
    ] = tuple(Kind)
    max_cost_micros: Annotated[
        Micros | None, Field(description="what all of its model calls may cost, in micro-dollars; null: no limit")
    ] = None

    def wishes(self) -> Wishes:
        return Wishes(**{name: getattr(self, name) for name in type(self).model_fields if name != "max_cost_micros"})


class CompleteRoadmap(Body):
    """What may change for it; `{}` when nothing does."""

    max_cost_micros: Annotated[
        Micros | None,
        Field(description="a new budget for the roadmap, in micro-dollars; null: no limit; left out: as it was"),
    ] = None

    def budget(self) -> NewBudget | None:
        return NewBudget(self.max_cost_micros) if "max_cost_micros" in self.model_fields_set else None


class CreatedModel(BaseModel):
    id: str
    goal: str
    status: RunStatus
    created_at: str
    run: dict[str, Any]
    links: LinksModel


class RunModel(BaseModel):
    id: str
    roadmap_id: str
    kind: RunKind
    status: RunStatus
    error: dict[str, Any] | None
    failures: int
    crashes: int
    created_at: str
    started_at: str | None
    planned_at: str | None
    finished_at: str | None


class CompletionModel(RunModel):
    links: LinksModel


class StepModel(BaseModel):
    step: str
    duration_ms: int
    at: str


class RunDetail(RunModel):
    steps: list[StepModel]


class RunList(BaseModel):
    data: list[RunModel]
    has_more: bool
    next_cursor: str | None


async def create_roadmap(db: Database, queue: Queue, call: Call[CreateRoadmap, NoQuery]) -> Response:
    """Accepts a goal; a worker builds the roadmap. Follow `links.events`. Refused, with nothing stored, while too many
    of your runs are active or your budget for the day is spent (429), or too much work waits (503)."""
    wishes, limits = call.body.wishes(), call.limits
    full = await service.check_backlog(queue, limits.backlog)
    place = 0

    async def effect(tx: Executor) -> dict[str, Any]:
        nonlocal place
        if full is not None:
            raise full
        await service.check_day(tx, call.user_id, limits.learner_daily_micros)
        budget, most = call.body.max_cost_micros, limits.learner_backlog
        started = await service.insert_roadmap(tx, call.user_id, wishes, budget, most)
        place = started.behind
        return _show_created(wishes, started)

    shown, replayed = await once(db, call, effect)
    if not replayed:
        await service.enqueue_draft(queue, parse_id(Prefix.RUN, shown["run"]["id"]), place)
    headers = {"Location": shown["links"]["self"], "Retry-After": "1"}
    return mark_replay(JSONAnswer(shown, status_code=202, headers=headers), replayed=replayed)


async def complete_roadmap(db: Database, queue: Queue, call: Call[CompleteRoadmap, NoQuery]) -> Response:
    """Starts a run that makes what is missing or has failed, and only that. 409 while a run is active, and when
    nothing is missing; 429 while too many of your runs are active or when your budget for the day is spent; 503 when
    too much work waits. Follow `links.events`."""
    roadmap_id = call.path_id(Prefix.ROADMAP, "roadmap_id")
    full = await service.check_backlog(queue, call.limits.backlog)
    begun: Begun | None = None

    async def effect(tx: Executor) -> dict[str, Any]:
        nonlocal begun
        if full is not None:
            raise full
        await service.check_day(tx, call.user_id, call.limits.learner_daily_micros)
        most = call.limits.learner_backlog
        begun = await complete.complete_roadmap(tx, call.user_id, roadmap_id, call.body.budget(), most)
        run = await store.find_run(tx, call.user_id, begun.run_id)
        assert run is not None  # noqa: S101  it was inserted by this transaction
        return {**_show_run(run), "links": show_links(roadmap_id, run.id)}

    shown, replayed = await once(db, call, effect)
    if begun is not None:
        await complete.enqueue(queue, begun)
    headers = {"Location": f"/v1/runs/{shown['id']}", "Retry-After": "1"}
    return mark_replay(JSONAnswer(shown, status_code=202, headers=headers), replayed=replayed)


async def cancel_run(db: Database, queue: Queue, call: Call[NoBody, NoQuery]) -> Response:
    """Ends an active run; what is ready stays. A run that has ended is answered as it is."""
    run_id = call.path_id(Prefix.RUN, "run_id")
    roadmap_id = None

    async def effect(tx: Executor) -> dict[str, Any]:
        nonlocal roadmap_id
        run, _ = await service.cancel_run(tx, call.user_id, run_id)
        roadmap_id = run.roadmap_id
        return _show_run(run)

    shown, replayed = await once(db, call, effect)
    if roadmap_id is not None:
        await service.announce_cancellation(queue, roadmap_id, run_id)
    return mark_replay(JSONAnswer(shown), replayed=replayed)


async def list_runs(db: Database, _queue: Queue, call: Call[NoBody, PageQuery]) -> JSONAnswer:
    """The roadmap's runs, newest first."""
    roadmap_id = call.path_id(Prefix.ROADMAP, "roadmap_id")
    if not await roadmaps.owns(db, call.user_id, roadmap_id):
        raise NotFound("no such roadmap")
    limit = call.query.limit
    runs = await store.list_runs(db, call.user_id, roadmap_id, read_cursor(call.query.after), limit + 1)
    more = write_cursor(runs[limit - 1].id) if len(runs) > limit else None
    return page_answer(call, [_show_run(run) for run in runs[:limit]], more)


async def read_run(db: Database, _queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """One run with its steps. `Retry-After` while it is active."""
    run_id = call.path_id(Prefix.RUN, "run_id")
    run = await store.find_run(db, call.user_id, run_id)
    if run is None:
        raise NotFound("no such run")
    steps = [
        {"step": row["key"], "duration_ms": row["duration_ms"], "at": utc(row["created_at"])}
        for row in await store.steps_of(db, run_id)
    ]
    headers = {"Retry-After": "1"} if run.status in ACTIVE else {}
    return JSONAnswer({**_show_run(run), "steps": steps}, headers=headers)


def _show_created(wishes: Wishes, started: service.Started) -> dict[str, Any]:
    return {
        "id": show_id(Prefix.ROADMAP, started.roadmap_id),
        "goal": wishes.goal,
        "status": "queued",
        "created_at": utc(started.created_at),
        "run": {"id": show_id(Prefix.RUN, started.run_id), "kind": "create", "status": "queued"},
        "links": show_links(started.roadmap_id, started.run_id),
    }


def _show_run(run: Run) -> dict[str, Any]:
    error = None
    if run.error_code:
        error = {"code": run.error_code, "message": run.error_message, "report": run.report}
    return {
        "id": show_id(Prefix.RUN, run.id),
        "roadmap_id": show_id(Prefix.ROADMAP, run.roadmap_id),
        "kind": run.kind,
        "status": run.status,
        "error": error,
        "failures": run.failures,
        "crashes": run.crashes,
        "created_at": utc(run.created_at),
        "started_at": utc(run.started_at),
        "planned_at": utc(run.planned_at),
        "finished_at": utc(run.finished_at),
    }
