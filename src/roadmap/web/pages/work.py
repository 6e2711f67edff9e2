"""What each view of work reads: runs, a roadmap, what was given up; and what operators did."""

import re
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from roadmap.audit.model import Action
from roadmap.audit.store import Filters as AuditFilters
from roadmap.dead_jobs.model import DeadJobStatus
from roadmap.dead_jobs.store import Filters as DeadFilters
from roadmap.errors import Invalid, NotFound
from roadmap.ids import Prefix, parse_id
from roadmap.monitor.model import RoadmapTree, RunFilters, RunPage
from roadmap.monitor.service.failures import list_audit, list_dead, list_failures, read_dead
from roadmap.monitor.service.runs import list_runs, read_roadmap, read_run
from roadmap.runs.model import ACTIVE, RunKind, RunStatus
from roadmap.web.pages.frame import Ask, Seen, Tools

__all__ = [
    "AUDIT_ASKS",
    "DEAD_ASKS",
    "FINGERPRINT",
    "RUN_ASKS",
    "audit",
    "dead_job",
    "dead_jobs",
    "failures",
    "roadmap",
    "run",
    "runs",
]

FINGERPRINT = re.compile("[0-9a-f]{16}")
E = TypeVar("E", RunStatus, RunKind, DeadJobStatus, Action)

ON_A_PAGE = 50
LATEST = 12
TITLE = 80
RUN_ASKS = ("status", "kind", "learner", "error", "id", "from", "to", "after")
DEAD_ASKS = ("status", "code", "function", "after")
AUDIT_ASKS = ("action", "actor", "after")


async def runs(tools: Tools, ask: Ask) -> Seen:
    asked = {name: ask.query.get(name, "").strip() for name in RUN_ASKS}
    fault, page = None, RunPage((), None)
    try:
        page = await list_runs(tools.db, _run_filters(asked), asked["after"] or None, ON_A_PAGE)
    except (Invalid, NotFound) as exc:
        fault = str(exc)
    return Seen(
        {
            "runs": page, "fault": fault, "asked": asked, "statuses": list(RunStatus), "kinds": list(RunKind),
            "filtered": any(value for name, value in asked.items() if name != "after"),
            **_paging(ask, page.next_cursor),
        }
    )  # fmt: skip


def _run_filters(asked: dict[str, str]) -> RunFilters:
    """Raises Invalid or NotFound for what cannot be looked for."""
    named = asked["id"]
    return RunFilters(
        status=_member(RunStatus, asked["status"]),
        kind=_member(RunKind, asked["kind"]),
        error_code=asked["error"] or None,
        learner=_learner(asked["learner"]),
        roadmap_id=parse_id(Prefix.ROADMAP, named) if named and not named.startswith("run_") else None,
        run_id=parse_id(Prefix.RUN, named) if named.startswith("run_") else None,
        after=_moment(asked["from"]),
        before=_moment(asked["to"]),
    )


def _member(kind: type[E], text: str) -> E | None:
    if not text:
        return None
    try:
        return kind(text)
    except ValueError as exc:
        raise Invalid("choose one of the list") from exc


def _learner(text: str) -> str | UUID | None:
    return parse_id(Prefix.USER, text) if text.startswith("usr_") else text or None


def _moment(text: str) -> datetime | None:
    """As `datetime-local` sends it, which knows no time zone: the page says that it is UTC."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as exc:
        raise Invalid("write a time as 2026-11-22T13:45") from exc


def _paging(ask: Ask, cursor: str | None) -> dict[str, Any]:
    """Links: `next` to the page after this one, `first` back from one that is not the first."""
    return {
        "next": ask.after(cursor) if cursor else None,
        "first": ask.after(None) if "after" in ask.query else None,
    }


async def run(tools: Tools, ask: Ask) -> Seen:
    view = await read_run(tools.db, parse_id(Prefix.RUN, ask.ids["run_id"]))
    unready = [piece for piece in view.pieces if piece.status != "ready"]
    values = {"view": view, "active": view.run.status in ACTIVE, "unready": unready}
    return Seen(values, _title(view.run.title or view.run.goal), (("Runs", "/monitor/runs"),))


async def roadmap(tools: Tools, ask: Ask) -> Seen:
    tree = await read_roadmap(tools.db, parse_id(Prefix.ROADMAP, ask.ids["roadmap_id"]))
    return Seen({"tree": tree, "shares": _shares(tree)}, _title(tree.title or tree.goal), (("Runs", "/monitor/runs"),))


def _shares(tree: RoadmapTree) -> dict[str, str]:
    """How much of each stage and module is ready."""
    shares = {}
    for stage in tree.stages:
        of_stage: list[str] = []
        for module in stage.modules:
            states = [str(piece.status) for concept in module.concepts for piece in concept.pieces]
            shares[module.id] = _share(states)
            of_stage += states
        shares[stage.id] = _share(of_stage)
    return shares


def _share(states: list[str]) -> str:
    failed = states.count("failed")
    return f"{states.count('ready')} of {len(states)} ready" + (f", {failed} failed" if failed else "")


def _title(text: str) -> str:
    return text if len(text) <= TITLE else text[:TITLE] + " …"


async def failures(tools: Tools, _ask: Ask) -> Seen:
    latest = await list_dead(tools.db, DeadFilters(DeadJobStatus.DEAD), None, LATEST)
    return Seen({"failures": await list_failures(tools.db, tools.looks), "latest": latest.data})


async def dead_jobs(tools: Tools, ask: Ask) -> Seen:
    """One by one: of all, or of a group."""
    asked = {name: ask.query.get(name, "").strip() for name in DEAD_ASKS}
    asked["status"] = asked["status"] or DeadJobStatus.DEAD
    fingerprint = ask.ids.get("fingerprint")
    if fingerprint is not None and not FINGERPRINT.fullmatch(fingerprint):
        raise NotFound("no such group")
    status = _member(DeadJobStatus, asked["status"])
    filters = DeadFilters(status, asked["function"] or None, fingerprint, asked["code"] or None)
    page = await list_dead(tools.db, filters, asked["after"] or None, ON_A_PAGE)
    groups = (await list_failures(tools.db, tools.looks)).data
    group = next((one for one in groups if one.fingerprint == fingerprint), None)
    values = {
        "dead": page, "group": group, "fingerprint": fingerprint, "asked": asked, "statuses": list(DeadJobStatus),
        **_paging(ask, page.next_cursor),
    }  # fmt: skip
    title = group.code.replace("_", " ").capitalize() if group else "Dead jobs"
    return Seen(values, title, (("Failures", "/monitor/failures"),))


async def dead_job(tools: Tools, ask: Ask) -> Seen:
    view = await read_dead(tools.db, parse_id(Prefix.DEAD_JOB, ask.ids["dead_job_id"]))
    group = (view.code.replace("_", " ").capitalize(), f"/monitor/failures/groups/{view.fingerprint}")
    what = (view.kind or view.function or "job").replace("_", " ")
    title = f"{what.capitalize()}: {view.concept_title}" if view.concept_title else what.capitalize()
    return Seen({"view": view}, _title(title), (("Failures", "/monitor/failures"), group))


async def audit(tools: Tools, ask: Ask) -> Seen:
    asked = {name: ask.query.get(name, "").strip() for name in AUDIT_ASKS}
    filters = AuditFilters(_member(Action, asked["action"]), asked["actor"] or None)
    page = await list_audit(tools.db, filters, asked["after"] or None, ON_A_PAGE)
    return Seen({"audit": page, "asked": asked, "actions": list(Action), **_paging(ask, page.next_cursor)})
