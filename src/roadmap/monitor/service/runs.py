"""Runs and roadmaps of all learners."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from roadmap.api.pages import read_cursor, write_cursor
from roadmap.content.model import ContentStatus
from roadmap.database import Database, Row
from roadmap.dead_jobs import store as dead_jobs
from roadmap.errors import NotFound
from roadmap.execution_log.store import LoggedRun
from roadmap.ids import Prefix, first_id, parse_id, show_id
from roadmap.monitor.model.runs import (
    ConceptView,
    ModuleView,
    PieceView,
    RoadmapTree,
    RunFilters,
    RunPage,
    RunRow,
    RunView,
    StageView,
)
from roadmap.monitor.service.failures import show_dead
from roadmap.monitor.service.log import read_log
from roadmap.monitor.store import roadmaps
from roadmap.monitor.store import runs as store
from roadmap.roadmaps.model import Module, Stage, Structure
from roadmap.runs.model import ACTIVE, RunStatus

__all__ = ["list_runs", "read_roadmap", "read_run"]

MOST_CALLS = 1_000
MOST_LINES = 500
MOST_DEAD = 100
MOST_RUNS = 50
# Of a concept's pieces, the state that matters most.
ORDER = (ContentStatus.FAILED, ContentStatus.WRITING, ContentStatus.PENDING, ContentStatus.READY)


async def list_runs(db: Database, wanted: RunFilters, after: str | None, limit: int) -> RunPage:
    """Newest first. Raises Invalid for a cursor that is none of ours."""
    learner = wanted.learner
    if isinstance(learner, str):
        learner = await _find_learner(db, learner)
        if learner is None:
            return RunPage((), None)
    found = await store.list_runs(db, replace(wanted, learner=learner), _range(wanted, after), limit + 1)
    more = write_cursor(parse_id(Prefix.RUN, found[limit - 1].id)) if len(found) > limit else None
    return RunPage(tuple(found[:limit]), more)


async def _find_learner(db: Database, text: str) -> UUID | None:
    """By e-mail address, or by id."""
    if text.startswith(f"{Prefix.USER}_"):
        try:
            return parse_id(Prefix.USER, text)
        except NotFound:
            return None
    return await store.find_user(db, text)


def _range(wanted: RunFilters, after: str | None) -> tuple[UUID | None, UUID | None]:
    """Ids are times of creation: from the first that is wanted to before the last one of the page before."""
    ends = [first_id(wanted.before)] if wanted.before else []
    cursor = read_cursor(after)
    ends += [cursor] if cursor else []
    return first_id(wanted.after) if wanted.after else None, min(ends, default=None)


async def read_run(db: Database, run_id: UUID) -> RunView:
    """One run with all that happened in it. Raises NotFound."""
    row = await store.find_run(db, run_id)
    if row is None:
        raise NotFound("no such run")
    titles = await roadmaps.concept_titles(db, row["roadmap_id"])
    call_count, cost, tokens_in, tokens_out = await store.find_costs(db, run_id)
    dead = await dead_jobs.list_dead_jobs(db, dead_jobs.Filters(run_id=run_id), None, MOST_DEAD)
    same = ("attempt", "worker", "started_at", "planned_at", "due_at", "not_before", "report")
    return RunView(
        run=store.load_run(row),
        **{name: row[name] for name in same},
        steps=tuple(await store.list_steps(db, run_id)),
        pieces=tuple(await store.list_pieces(db, titles, run_id=run_id)),
        calls=tuple(await store.list_calls(db, run_id, titles, MOST_CALLS)),
        call_count=call_count,
        cost_micros=cost,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        dead_jobs=tuple(show_dead(one) for one in dead),
        log=await read_log(db, _logged(row), MOST_LINES),
    )


def _logged(run: Row) -> LoggedRun:
    return LoggedRun(run["id"], run["created_at"], run["finished_at"] or datetime.now(UTC))


async def read_roadmap(db: Database, roadmap_id: UUID) -> RoadmapTree:
    """Its plan, with the state of every piece. Raises NotFound."""
    row = await roadmaps.find_roadmap(db, roadmap_id)
    if row is None:
        raise NotFound("no such roadmap")
    structure = None if row["structure"] is None else Structure.load(row["structure"])
    titles = {concept.id: concept.title for concept in structure.concepts()} if structure else {}
    pieces = await store.list_pieces(db, titles, roadmap_id=roadmap_id)
    runs = await store.runs_of(db, roadmap_id, MOST_RUNS)
    return _tree(row, structure, pieces, runs)


def _tree(row: Row, structure: Structure | None, pieces: Sequence[PieceView], runs: Sequence[RunRow]) -> RoadmapTree:
    same = ("learner", "goal", "title", "version", "deleted", "created_at", "cost_micros", "max_cost_micros")
    fields: dict[str, Any] = {name: row[name] for name in same}
    status = RunStatus(row["status"])
    states = [piece.status for piece in pieces]
    missing = structure is None or any(state is not ContentStatus.READY for state in states)
    return RoadmapTree(
        **fields,
        id=show_id(Prefix.ROADMAP, row["id"]),
        user_id=show_id(Prefix.USER, row["user_id"]),
        status=status,
        run_id=show_id(Prefix.RUN, row["run_id"]),
        active=status in ACTIVE,
        can_complete=missing and status not in ACTIVE and not row["deleted"],
        ready=states.count(ContentStatus.READY),
        failed=states.count(ContentStatus.FAILED),
        open=states.count(ContentStatus.PENDING) + states.count(ContentStatus.WRITING),
        stages=_stages(structure, pieces),
        runs=tuple(runs),
    )


def _stages(structure: Structure | None, pieces: Iterable[PieceView]) -> tuple[StageView, ...]:
    if structure is None:
        return ()
    of: dict[str, list[PieceView]] = {}
    for piece in pieces:
        of.setdefault(piece.concept_id, []).append(piece)
    return tuple(_stage(stage, of) for stage in structure.stages)


def _stage(stage: Stage, of: dict[str, list[PieceView]]) -> StageView:
    return StageView(stage.id, stage.title, tuple(_module(module, of) for module in stage.modules))


def _module(module: Module, of: dict[str, list[PieceView]]) -> ModuleView:
    concepts = [
        ConceptView(one.id, one.title, one.minutes, _state(of.get(one.id, [])), tuple(of.get(one.id, ())))
        for one in module.concepts
    ]
    return ModuleView(module.id, module.title, tuple(concepts))


def _state(pieces: Iterable[PieceView]) -> ContentStatus | None:
    states = {piece.status for piece in pieces}
    return next((state for state in ORDER if state in states), None)
