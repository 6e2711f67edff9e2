"""GET and POST /v1/admin/…: the service as its operators see it. (Dead jobs have a module of their own.)"""

from typing import Annotated

from pydantic import BaseModel, Field, RootModel, StringConstraints

from roadmap.api.answers import JSONAnswer
from roadmap.api.inputs import PLAIN_FORM, Moment, Plain
from roadmap.api.operation import Call, NoBody, NoQuery
from roadmap.api.pages import PageQuery, page_answer
from roadmap.audit.callers import actor_of
from roadmap.audit.model import Action
from roadmap.audit.store import Filters
from roadmap.database import Database
from roadmap.errors import NotFound
from roadmap.heartbeat import Process
from roadmap.ids import Prefix, parse_id, show_id
from roadmap.monitor import actions, service
from roadmap.monitor.model.failures import AuditRow, FailureList
from roadmap.monitor.model.functions import FunctionList
from roadmap.monitor.model.processes import WorkerList
from roadmap.monitor.model.queues import JobsInLine, Overview, PauseView, QueueList
from roadmap.monitor.model.runs import RoadmapTree, RunFilters, RunRow, RunView
from roadmap.monitor.model.system import ModelView, SystemView
from roadmap.monitor.service.queues import QUEUES
from roadmap.monitor.showing import answer, looks_of, show
from roadmap.queue.client import Queue
from roadmap.runs.model import RunKind, RunStatus

__all__ = [
    "AuditAnswer",
    "AuditQuery",
    "FailuresAnswer",
    "FunctionsAnswer",
    "JobsAnswer",
    "ModelAnswer",
    "OverviewAnswer",
    "PauseAnswer",
    "QueuesAnswer",
    "RunAnswer",
    "RunsAnswer",
    "RunsQuery",
    "SystemAnswer",
    "TreeAnswer",
    "WorkersAnswer",
    "cancel_any_run",
    "complete_any_roadmap",
    "list_all_runs",
    "list_audit",
    "list_failures",
    "list_functions",
    "list_queued_jobs",
    "list_queues",
    "list_workers",
    "pause_queue",
    "read_any_run",
    "read_model",
    "read_overview",
    "read_system",
    "read_tree",
    "resume_queue",
]

Plainly = Annotated[str, StringConstraints(min_length=1, max_length=320), Plain, Field(json_schema_extra=PLAIN_FORM)]
Code = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,100}$")]
RoadmapId = Annotated[str, Field(pattern="^rm_[0-9a-f]{32}$")]
RunId = Annotated[str, Field(pattern="^run_[0-9a-f]{32}$")]


class OverviewAnswer(RootModel[Overview]):
    pass


async def read_overview(db: Database, queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """The service at one glance."""
    return answer(await service.read_overview(db, queue, looks_of(call)))


class QueuesAnswer(RootModel[QueueList]):
    pass


async def list_queues(db: Database, queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """The queues as they stand, also without a worker. PostgreSQL knows the work even where Redis lost its jobs."""
    return answer(await service.read_queues(db, queue, looks_of(call)))


class JobsAnswer(RootModel[JobsInLine]):
    pass


async def list_queued_jobs(_db: Database, queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """The first hundred in line, with what they carry."""
    return answer(await service.read_jobs(queue, looks_of(call), _queue_name(call)))


class PauseAnswer(RootModel[PauseView]):
    pass


async def pause_queue(db: Database, _queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """Its workers take no more jobs: they hear of it within five seconds. What runs goes on, what comes waits."""
    name = _queue_name(call)
    changed = await actions.pause_queue(db, name, actor_of(call))
    looks_of(call).forget()
    return answer(PauseView(name, paused=True, changed=changed))


async def resume_queue(db: Database, _queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """Its workers take jobs again, within five seconds."""
    name = _queue_name(call)
    changed = await actions.resume_queue(db, name, actor_of(call))
    looks_of(call).forget()
    return answer(PauseView(name, paused=False, changed=changed))


class WorkersAnswer(RootModel[WorkerList]):
    pass


async def list_workers(db: Database, _queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """Every process by its last heartbeat, the latest first, at most 500, and what it holds. One that ends as it should
    leaves the list; one that died stays for a day."""
    return answer(await service.read_workers(db, looks_of(call)))


class FunctionsAnswer(RootModel[FunctionList]):
    pass


async def list_functions(db: Database, _queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """What jobs took, by function, and how many failed: an hour, a day, and the hours of seven days."""
    return answer(await service.read_functions(db, looks_of(call)))


class RunsQuery(PageQuery):
    status: RunStatus | None = None
    kind: RunKind | None = None
    error_code: Code | None = None
    learner: Annotated[Plainly | None, Field(description="an e-mail address, or a user's id")] = None
    roadmap: RoadmapId | None = None
    run: RunId | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None

    def filters(self) -> RunFilters:
        return RunFilters(
            status=self.status,
            kind=self.kind,
            error_code=self.error_code,
            learner=self.learner,
            roadmap_id=parse_id(Prefix.ROADMAP, self.roadmap) if self.roadmap else None,
            run_id=parse_id(Prefix.RUN, self.run) if self.run else None,
            after=self.created_after,
            before=self.created_before,
        )


class RunsAnswer(BaseModel):
    data: list[RunRow]
    has_more: bool
    next_cursor: str | None


async def list_all_runs(db: Database, _queue: Queue, call: Call[NoBody, RunsQuery]) -> JSONAnswer:
    """Runs of all learners, newest first."""
    page = await service.list_runs(db, call.query.filters(), call.query.after, call.query.limit)
    return page_answer(call, show(page.data), page.next_cursor)


class RunAnswer(RootModel[RunView]):
    pass


async def read_any_run(db: Database, _queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """One run, whoever's it is: steps, pieces, questions to the model, dead jobs, and its log."""
    return answer(await service.read_run(db, call.path_id(Prefix.RUN, "run_id")))


async def cancel_any_run(db: Database, queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """Ends an active run, whoever's it is; what is ready stays. A run that has ended is answered as it is."""
    run_id = call.path_id(Prefix.RUN, "run_id")
    await actions.cancel_run(db, queue, run_id, actor_of(call))
    looks_of(call).forget()
    return answer(await service.read_run(db, run_id))


class TreeAnswer(RootModel[RoadmapTree]):
    pass


async def read_tree(db: Database, _queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """A roadmap, whoever's it is, as a tree with the state of every piece."""
    return answer(await service.read_roadmap(db, call.path_id(Prefix.ROADMAP, "roadmap_id")))


async def complete_any_roadmap(db: Database, queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """Starts a run that makes what is missing or has failed, and only that. 409 while a run is active, and when nothing
    is missing."""
    run_id = await actions.complete_roadmap(db, queue, call.path_id(Prefix.ROADMAP, "roadmap_id"), actor_of(call))
    looks_of(call).forget()
    shown = show(await service.read_run(db, run_id))
    return JSONAnswer(shown, status_code=202, headers={"Location": f"/v1/admin/runs/{show_id(Prefix.RUN, run_id)}"})


class FailuresAnswer(RootModel[FailureList]):
    pass


async def list_failures(db: Database, _queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """What nobody has dealt with, grouped by fault, with its last twenty-four hours."""
    return answer(await service.list_failures(db, looks_of(call)))


class ModelAnswer(RootModel[ModelView]):
    pass


async def read_model(db: Database, queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """What the model was asked, how it answered, and what that cost."""
    return answer(await service.read_model(db, queue, looks_of(call)))


class SystemAnswer(RootModel[SystemView]):
    pass


async def read_system(db: Database, queue: Queue, call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """PostgreSQL, the log's pipeline and Redis."""
    return answer(await service.read_system(db, queue, looks_of(call)))


class AuditQuery(PageQuery):
    action: Action | None = None
    actor: Annotated[Plainly | None, Field(description="as it is shown")] = None
    subject: Annotated[Plainly | None, Field(description="an id, a queue, an e-mail address")] = None


class AuditAnswer(BaseModel):
    data: list[AuditRow]
    has_more: bool
    next_cursor: str | None


async def list_audit(db: Database, _queue: Queue, call: Call[NoBody, AuditQuery]) -> JSONAnswer:
    """What operators did, and who tried to become one, newest first."""
    query = call.query
    page = await service.list_audit(db, Filters(query.action, query.actor, query.subject), query.after, query.limit)
    return page_answer(call, show(page.data), page.next_cursor)


def _queue_name(call: Call[NoBody, NoQuery]) -> Process:
    name = call.request.path_params["queue_name"]
    if name not in QUEUES:
        raise NotFound("no such queue")
    return Process(name)
