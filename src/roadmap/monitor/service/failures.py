"""What was given up, by fault and one by one; and what operators did."""

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from roadmap.api.pages import read_cursor, write_cursor
from roadmap.audit import store as audit
from roadmap.audit.model import AuditRow as StoredEntry
from roadmap.database import Database
from roadmap.dead_jobs import store as dead_jobs
from roadmap.dead_jobs.model import DeadJob
from roadmap.errors import NotFound
from roadmap.execution_log.store import LoggedRun
from roadmap.ids import Prefix, show_id
from roadmap.monitor.advice import ADVICE
from roadmap.monitor.looks import Looks
from roadmap.monitor.model.failures import AuditPage, AuditRow, DeadPage, DeadRow, DeadView, FailureGroup, FailureList
from roadmap.monitor.model.log import LogLine
from roadmap.monitor.service.log import read_log
from roadmap.monitor.store import failures as store
from roadmap.monitor.store.roadmaps import concept_titles

__all__ = ["list_audit", "list_dead", "list_failures", "read_dead", "show_dead"]

MOST_GROUPS = 100
MOST_LINES = 10
DAY = timedelta(days=1)


async def list_failures(db: Database, looks: Looks) -> FailureList:
    """What nobody has dealt with, grouped by fault."""
    return await looks.recent("failures", 0.5, partial(_list_failures, db))


async def _list_failures(db: Database) -> FailureList:
    groups = await dead_jobs.list_groups(db, MOST_GROUPS)
    hours = await store.hours_of(db, [group.fingerprint for group in groups])
    same = FailureGroup.__slots__
    found = [
        FailureGroup(**{name: getattr(group, name) for name in same if name != "hours"}, hours=hours[group.fingerprint])
        for group in groups
    ]
    if len(groups) < MOST_GROUPS:
        return FailureList(tuple(found), len(groups), sum(group.count for group in groups))
    return FailureList(tuple(found), await dead_jobs.count_groups(db), await store.count_dead(db))


async def list_dead(db: Database, filters: dead_jobs.Filters, after: str | None, limit: int) -> DeadPage:
    """Newest first. Raises Invalid for a cursor that is none of ours."""
    found = await dead_jobs.list_dead_jobs(db, filters, read_cursor(after), limit + 1)
    more = write_cursor(found[limit - 1].id) if len(found) > limit else None
    return DeadPage(tuple(show_dead(dead) for dead in found[:limit]), more)


async def read_dead(db: Database, dead_job_id: UUID) -> DeadView:
    """One with everything. Raises NotFound."""
    dead = await dead_jobs.find_dead_job(db, dead_job_id)
    if dead is None:
        raise NotFound("no such dead job")
    shown = show_dead(dead)
    owner, titles = None, dict[str, str]()
    if dead.roadmap_id is not None:
        owner = await store.find_owner(db, dead.roadmap_id)
        titles = await concept_titles(db, dead.roadmap_id)
    return DeadView(
        **{name: getattr(shown, name) for name in DeadRow.__slots__},
        advice=ADVICE.get(dead.code),
        payload=dead.payload,
        raw=None if dead.raw is None else dead.raw.decode(errors="backslashreplace"),
        traceback=dead.traceback,
        goal=owner["goal"] if owner else None,
        learner=owner["learner"] if owner else None,
        concept_title=titles.get(shown.concept_id or ""),
        siblings=await store.count_siblings(db, dead.fingerprint, dead.id),
        log=await _read_log(db, dead),
    )


async def _read_log(db: Database, dead: DeadJob) -> tuple[LogLine, ...]:
    """The last of its day: what led to its death was noted just before that."""
    if dead.run_id is None:
        return ()
    lately = LoggedRun(dead.run_id, dead.died_at - DAY, dead.died_at)
    return await read_log(db, lately, MOST_LINES, dead.concept_id)


def show_dead(dead: DeadJob) -> DeadRow:
    fields: dict[str, Any] = {name: getattr(dead, name) for name in DeadRow.__slots__}
    return DeadRow(
        **fields
        | {
            "id": show_id(Prefix.DEAD_JOB, dead.id),
            "roadmap_id": dead.roadmap_id and show_id(Prefix.ROADMAP, dead.roadmap_id),
            "run_id": dead.run_id and show_id(Prefix.RUN, dead.run_id),
            "concept_id": dead.concept_id and show_id(Prefix.CONCEPT, dead.concept_id),
        }
    )


async def list_audit(db: Database, filters: audit.Filters, after: str | None, limit: int) -> AuditPage:
    """Newest first. Raises Invalid for a cursor that is none of ours."""
    found = await audit.list_entries(db, filters, read_cursor(after), limit + 1)
    more = write_cursor(found[limit - 1].id) if len(found) > limit else None
    return AuditPage(tuple(_show_entry(entry) for entry in found[:limit]), more)


def _show_entry(entry: StoredEntry) -> AuditRow:
    return AuditRow(
        id=show_id(Prefix.AUDIT, entry.id),
        at=entry.at,
        actor=entry.actor,
        address=entry.address,
        action=entry.action,
        subject=entry.subject,
        details=entry.details,
    )
