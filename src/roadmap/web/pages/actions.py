"""What operators do from a page: forms, whose answer is a redirect to the page they came from, with a notice."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from roadmap.dead_jobs.model import Selection
from roadmap.errors import Conflict, Invalid, NotFound
from roadmap.heartbeat import Process
from roadmap.ids import Prefix, parse_id
from roadmap.monitor import actions
from roadmap.monitor.service.queues import QUEUES
from roadmap.runs.model import RunStatus
from roadmap.runs.retry import Outcome
from roadmap.web.pages.access import Form, Visitor, safe_next
from roadmap.web.pages.notices import Told, with_notice
from roadmap.web.pages.work import FINGERPRINT
from roadmap.web.state import WebState

__all__ = ["cancel_run", "complete_roadmap", "discard_dead_jobs", "pause_queue", "resume_queue", "retry_dead_jobs"]


async def retry_dead_jobs(request: Request, visitor: Visitor, form: Form) -> Response:
    runtime = _state(request).runtime
    outcome = await actions.retry_dead_jobs(runtime.db, runtime.queue, _selection(form), visitor.actor)
    return _back(request, form, _tell("retried", outcome))


async def discard_dead_jobs(request: Request, visitor: Visitor, form: Form) -> Response:
    outcome = await actions.discard_dead_jobs(_state(request).runtime.db, _selection(form), visitor.actor)
    return _back(request, form, _tell("discarded", outcome))


async def cancel_run(request: Request, visitor: Visitor, form: Form) -> Response:
    runtime = _state(request).runtime
    run_id = parse_id(Prefix.RUN, request.path_params["run_id"])
    run = await actions.cancel_run(runtime.db, runtime.queue, run_id, visitor.actor)
    return _back(request, form, Told("canceled", int(run.status is RunStatus.CANCELED)))


async def complete_roadmap(request: Request, visitor: Visitor, form: Form) -> Response:
    runtime = _state(request).runtime
    roadmap_id = parse_id(Prefix.ROADMAP, request.path_params["roadmap_id"])
    try:
        await actions.complete_roadmap(runtime.db, runtime.queue, roadmap_id, visitor.actor)
    except Conflict:
        return _back(request, form, Told("completing", 0))
    return _back(request, form, Told("completing"))


async def pause_queue(request: Request, visitor: Visitor, form: Form) -> Response:
    db = _state(request).runtime.db
    return _back(request, form, Told("paused", int(await actions.pause_queue(db, _queue(request), visitor.actor))))


async def resume_queue(request: Request, visitor: Visitor, form: Form) -> Response:
    db = _state(request).runtime.db
    return _back(request, form, Told("resumed", int(await actions.resume_queue(db, _queue(request), visitor.actor))))


def _state(request: Request) -> WebState:
    state: WebState = request.state.web
    return state


def _selection(form: Form) -> Selection:
    """One dead job, a group, or all. Raises Invalid when the form says none of them, or more."""
    said = {name: str(form[name]) for name in ("id", "fingerprint", "all") if name in form}
    match said:
        case {"id": text, **others} if not others:
            return Selection(ids=(parse_id(Prefix.DEAD_JOB, text),))
        case {"fingerprint": text, **others} if not others and FINGERPRINT.fullmatch(text):
            return Selection(fingerprint=text)
        case {"all": "yes", **others} if not others:
            return Selection()
    raise Invalid("say which dead jobs: one, a group, or all")


def _queue(request: Request) -> Process:
    name = request.path_params["queue"]
    if name not in QUEUES:
        raise NotFound("no such queue")
    return Process(name)


def _tell(said: str, outcome: Outcome) -> Told:
    return Told(said, outcome.done, outcome.left, outcome.more)


def _back(request: Request, form: Form, told: Told) -> Response:
    """303: what follows is a GET, so that a reload does nothing twice. It shows what was done."""
    _state(request).looks.forget()
    return RedirectResponse(with_notice(safe_next(str(form.get("back", ""))), told), 303)
