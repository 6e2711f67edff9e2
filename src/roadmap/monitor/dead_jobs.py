"""GET and POST /v1/admin/dead-jobs…: what was given up, and what to do about it."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from roadmap.api.answers import JSONAnswer
from roadmap.api.operation import Body, Call, NoBody, NoQuery
from roadmap.api.pages import PageQuery, page_answer
from roadmap.audit.callers import actor_of
from roadmap.database import Database
from roadmap.dead_jobs.model import DeadJobStatus, Selection
from roadmap.dead_jobs.store import Filters
from roadmap.ids import Prefix, parse_id, show_id
from roadmap.monitor import actions, service
from roadmap.monitor.model.failures import DeadRow, DeadView
from roadmap.monitor.showing import answer, looks_of, show
from roadmap.queue.client import Queue
from roadmap.runs.retry import Outcome

__all__ = [
    "DeadJobAnswer",
    "DeadJobsAnswer",
    "DeadJobsQuery",
    "OutcomeAnswer",
    "SelectDeadJobs",
    "discard_dead_jobs",
    "list_dead_jobs",
    "read_dead_job",
    "retry_dead_jobs",
]

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


class DeadJobsAnswer(BaseModel):
    data: list[DeadRow]
    has_more: bool
    next_cursor: str | None


async def list_dead_jobs(db: Database, _queue: Queue, call: Call[NoBody, DeadJobsQuery]) -> JSONAnswer:
    """Work that was given up, newest first."""
    query = call.query
    filters = Filters(query.status, query.function, query.fingerprint, query.code)
    page = await service.list_dead(db, filters, query.after, query.limit)
    return page_answer(call, show(page.data), page.next_cursor)


class DeadJobAnswer(RootModel[DeadView]):
    pass


async def read_dead_job(db: Database, _queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """One dead job with its payload, its traceback and the last lines of its log."""
    return answer(await service.read_dead(db, call.path_id(Prefix.DEAD_JOB, "dead_job_id")))


class SkippedModel(BaseModel):
    id: str
    reason: str


class OutcomeAnswer(BaseModel):
    """`done` were dealt with, `left` were not; `skipped` says why of the first hundred. `has_more`: ask again."""

    done: int
    left: int
    skipped: list[SkippedModel]
    has_more: bool


async def retry_dead_jobs(db: Database, queue: Queue, call: Call[SelectDeadJobs, NoQuery]) -> JSONAnswer:
    """Takes the work up again; what belongs to one roadmap in one run. Doing it twice changes nothing."""
    outcome = await actions.retry_dead_jobs(db, queue, call.body.selection(), actor_of(call))
    looks_of(call).forget()
    return JSONAnswer(_show_outcome(outcome))


async def discard_dead_jobs(db: Database, _queue: Queue, call: Call[SelectDeadJobs, NoQuery]) -> JSONAnswer:
    """Marks them as dealt with, and changes nothing else."""
    outcome = await actions.discard_dead_jobs(db, call.body.selection(), actor_of(call))
    looks_of(call).forget()
    return JSONAnswer(_show_outcome(outcome))


def _show_outcome(outcome: Outcome) -> dict[str, Any]:
    skipped = [{"id": show_id(Prefix.DEAD_JOB, one.id), "reason": one.reason} for one in outcome.skipped]
    return {"done": outcome.done, "left": outcome.left, "skipped": skipped, "has_more": outcome.more}
