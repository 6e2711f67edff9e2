"""GET and POST /v1/admin/dead-jobs…: what was given up, and what to do about it."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from roadmap.api.answers import JSONAnswer, utc
from roadmap.api.operation import Body, Call, NoBody, NoQuery
from roadmap.api.pages import PageQuery, page_answer, read_cursor, write_cursor
from roadmap.audit.callers import actor_of
from roadmap.database import Database
from roadmap.dead_jobs import store
from roadmap.dead_jobs.model import DeadJob, DeadJobStatus, Group, Selection
from roadmap.errors import NotFound
from roadmap.ids import Prefix, parse_id, show_id
from roadmap.monitor import actions
from roadmap.queue.client import Queue
from roadmap.runs.retry import Outcome

__all__ = [
    "DeadJobDetail",
    "DeadJobList",
    "DeadJobsQuery",
    "GroupList",
    "OutcomeModel",
    "SelectDeadJobs",
    "discard_dead_jobs",
    "list_dead_job_groups",
    "list_dead_jobs",
    "read_dead_job",
    "retry_dead_jobs",
    "show_dead_job",
    "show_detail",
    "show_group",
    "show_outcome",
]

MOST_GROUPS = 100

Word = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,200}$")]
DeadJobId = Annotated[str, Field(pattern="^dead_[0-9a-f]{32}$")]
Fingerprint = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class DeadJobsQuery(PageQuery):
    status: Annotated[DeadJobStatus, Field(description="`dead`: nobody has dealt with it")] = DeadJobStatus.DEAD
    function: Word | None = None
    code: Word | None = None
    fingerprint: Annotated[Fingerprint | None, Field(description="of a group")] = None


class SelectDeadJobs(Body):
    """Which dead jobs: these, those of one group, or all. Give exactly one of the three."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    ids: Annotated[tuple[DeadJobId, ...], Field(default_factory=tuple, min_length=1, max_length=500)]
    fingerprint: Annotated[Fingerprint, Field(default_factory=str)]
    all: Annotated[Literal[True], Field(default_factory=bool)]

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("give one of ids, fingerprint and all")
        return self

    def selection(self) -> Selection:
        if self.ids:
            return Selection(ids=tuple(parse_id(Prefix.DEAD_JOB, text) for text in self.ids))
        return Selection(fingerprint=self.fingerprint or None)


class DeadJobModel(BaseModel):
    """`job_id` is its id on the queue; null for a run's draft and for a piece of content, whose own state tells it."""

    id: str
    status: DeadJobStatus
    queue: str
    function: str | None
    job_id: str | None
    roadmap_id: str | None
    run_id: str | None
    concept_id: str | None
    kind: str | None
    attempts: int
    code: str
    error_class: str
    message: str
    fingerprint: str
    died_at: str
    resolved_at: str | None
    resolved_by: str | None


class DeadJobDetail(DeadJobModel):
    """`raw` is the beginning of a payload that could not be read."""

    payload: dict[str, Any] | None
    raw: str | None
    traceback: str | None


class DeadJobList(BaseModel):
    data: list[DeadJobModel]
    has_more: bool
    next_cursor: str | None


class GroupModel(BaseModel):
    """Equal faults that nobody has dealt with; `message` is the latest one's."""

    fingerprint: str
    function: str | None
    kind: str | None
    code: str
    error_class: str
    message: str
    count: int
    first_died_at: str
    last_died_at: str


class GroupList(BaseModel):
    """The most frequent first; `total` also counts those that are not shown."""

    data: list[GroupModel]
    total: int


class SkippedModel(BaseModel):
    id: str
    reason: str


class OutcomeModel(BaseModel):
    """`done` were dealt with, `left` were not; `skipped` says why of the first hundred. `has_more`: ask again."""

    done: int
    left: int
    skipped: list[SkippedModel]
    has_more: bool


async def list_dead_jobs(db: Database, _queue: Queue, call: Call[NoBody, DeadJobsQuery]) -> JSONAnswer:
    """Work that was given up, newest first."""
    query = call.query
    filters = store.Filters(query.status, query.function, query.fingerprint, query.code)
    found = await store.list_dead_jobs(db, filters, read_cursor(query.after), query.limit + 1)
    page = found[: query.limit]
    more = write_cursor(page[-1].id) if len(found) > query.limit else None
    return page_answer(call, [show_dead_job(dead) for dead in page], more)


async def read_dead_job(db: Database, _queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """One dead job with its payload and its traceback."""
    dead = await store.find_dead_job(db, call.path_id(Prefix.DEAD_JOB, "dead_job_id"))
    if dead is None:
        raise NotFound("no such dead job")
    return JSONAnswer(show_detail(dead))


async def list_dead_job_groups(db: Database, _queue: Queue, _call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """What nobody has dealt with, grouped by fault; at most a hundred groups."""
    groups = await store.list_groups(db, MOST_GROUPS)
    total = await store.count_groups(db) if len(groups) == MOST_GROUPS else len(groups)
    return JSONAnswer({"data": [show_group(group) for group in groups], "total": total})


async def retry_dead_jobs(db: Database, queue: Queue, call: Call[SelectDeadJobs, NoQuery]) -> JSONAnswer:
    """Takes the work up again; what belongs to one roadmap in one run. Doing it twice changes nothing."""
    outcome = await actions.retry_dead_jobs(db, queue, call.body.selection(), actor_of(call))
    return JSONAnswer(show_outcome(outcome))


async def discard_dead_jobs(db: Database, _queue: Queue, call: Call[SelectDeadJobs, NoQuery]) -> JSONAnswer:
    """Marks them as dealt with, and changes nothing else."""
    outcome = await actions.discard_dead_jobs(db, call.body.selection(), actor_of(call))
    return JSONAnswer(show_outcome(outcome))


def show_dead_job(dead: DeadJob) -> dict[str, Any]:
    return {
        "id": show_id(Prefix.DEAD_JOB, dead.id),
        "status": dead.status,
        "queue": dead.queue,
        "function": dead.function,
        "job_id": dead.job_id,
        "roadmap_id": dead.roadmap_id and show_id(Prefix.ROADMAP, dead.roadmap_id),
        "run_id": dead.run_id and show_id(Prefix.RUN, dead.run_id),
        "concept_id": dead.concept_id and show_id(Prefix.CONCEPT, dead.concept_id),
        "kind": dead.kind,
        "attempts": dead.attempts,
        "code": dead.code,
        "error_class": dead.error_class,
        "message": dead.message,
        "fingerprint": dead.fingerprint,
        "died_at": utc(dead.died_at),
        "resolved_at": utc(dead.resolved_at),
        "resolved_by": dead.resolved_by,
    }


def show_detail(dead: DeadJob) -> dict[str, Any]:
    raw = None if dead.raw is None else dead.raw.decode(errors="backslashreplace")
    return {**show_dead_job(dead), "payload": dead.payload, "raw": raw, "traceback": dead.traceback}


def show_group(group: Group) -> dict[str, Any]:
    return {
        "fingerprint": group.fingerprint,
        "function": group.function,
        "kind": group.kind,
        "code": group.code,
        "error_class": group.error_class,
        "message": group.message,
        "count": group.count,
        "first_died_at": utc(group.first_died_at),
        "last_died_at": utc(group.last_died_at),
    }


def show_outcome(outcome: Outcome) -> dict[str, Any]:
    skipped = [{"id": show_id(Prefix.DEAD_JOB, one.id), "reason": one.reason} for one in outcome.skipped]
    return {"done": outcome.done, "left": outcome.left, "skipped": skipped, "has_more": outcome.more}
