"""Runs of all learners, and what happened in one."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from roadmap.content.model import ContentStatus
from roadmap.database import Executor, Row
from roadmap.ids import Prefix, show_id
from roadmap.llm.model import CallStatus
from roadmap.monitor.model.runs import CallView, PieceView, RunFilters, RunRow, StepView
from roadmap.roadmaps.model import Kind
from roadmap.runs.model import RunKind, RunStatus

__all__ = [
    "find_costs",
    "find_owner_of_run",
    "find_run",
    "find_user",
    "list_calls",
    "list_pieces",
    "list_runs",
    "list_steps",
    "runs_of",
]

FIND_USER = """
SELECT id FROM users WHERE lower(email) = lower($1)
"""


async def find_user(db: Executor, email: str) -> UUID | None:
    user_id: UUID | None = await db.fetchval(FIND_USER, email)
    return user_id


_RUN = """runs.id, runs.roadmap_id, runs.user_id, users.email AS learner, left(goal, 200) AS goal, title, runs.kind,
    runs.status, runs.error_code, runs.error_message, runs.failures, runs.crashes, runs.created_at, finished_at,
    extract(epoch FROM coalesce(finished_at, now()) - runs.created_at)::float AS duration_seconds"""
_PIECES = """SELECT count(*) FILTER (WHERE status = 'ready')::int AS ready,
           count(*) FILTER (WHERE status = 'failed')::int AS failed,
           count(*) FILTER (WHERE status IN ('pending', 'writing'))::int AS open
    FROM content"""

# The pieces are counted for one page only.
LIST_RUNS = f"""
SELECT page.*, pieces.ready, pieces.failed, pieces.open FROM (
    SELECT {_RUN}
    FROM runs JOIN roadmaps ON roadmaps.id = runs.roadmap_id JOIN users ON users.id = runs.user_id
    WHERE ($1::text IS NULL OR runs.status = $1) AND ($2::text IS NULL OR runs.kind = $2)
      AND ($3::text IS NULL OR runs.error_code = $3) AND ($4::uuid IS NULL OR runs.user_id = $4)
      AND ($5::uuid IS NULL OR runs.roadmap_id = $5) AND ($6::uuid IS NULL OR runs.id = $6)
      AND ($7::uuid IS NULL OR runs.id >= $7) AND ($8::uuid IS NULL OR runs.id < $8)
    ORDER BY runs.id DESC LIMIT $9
) AS page CROSS JOIN LATERAL ({_PIECES} WHERE run_id = page.id) AS pieces
ORDER BY page.id DESC
"""  # noqa: S608  constant lists of columns


async def list_runs(db: Executor, wanted: RunFilters, ids: tuple[UUID | None, UUID | None], limit: int) -> list[RunRow]:
    """Newest first. `ids`: the first one that may be shown, and the one after the last. `learner` is a user's id."""
    which = (wanted.status, wanted.kind, wanted.error_code, wanted.learner, wanted.roadmap_id, wanted.run_id)
    return [load_run(row) for row in await db.fetch(LIST_RUNS, *which, *ids, limit)]


RUNS_OF = f"""
SELECT {_RUN}, pieces.ready, pieces.failed, pieces.open
FROM runs JOIN roadmaps ON roadmaps.id = runs.roadmap_id JOIN users ON users.id = runs.user_id
CROSS JOIN LATERAL ({_PIECES} WHERE run_id = runs.id) AS pieces
WHERE runs.roadmap_id = $1 ORDER BY runs.id DESC LIMIT $2
"""  # noqa: S608  constant lists of columns


async def runs_of(db: Executor, roadmap_id: UUID, limit: int) -> list[RunRow]:
    return [load_run(row) for row in await db.fetch(RUNS_OF, roadmap_id, limit)]


FIND_RUN = f"""
SELECT {_RUN}, pieces.ready, pieces.failed, pieces.open, runs.claim AS attempt, claimed_by AS worker, started_at,
       planned_at, due_at, not_before, report
FROM runs JOIN roadmaps ON roadmaps.id = runs.roadmap_id JOIN users ON users.id = runs.user_id
CROSS JOIN LATERAL ({_PIECES} WHERE run_id = runs.id) AS pieces
WHERE runs.id = $1
"""  # noqa: S608  constant lists of columns


async def find_run(db: Executor, run_id: UUID) -> Row | None:
    """Whoever's it is."""
    return await db.fetchrow(FIND_RUN, run_id)


def load_run(row: Row) -> RunRow:
    """From a row that may have more columns."""
    fields = {name: row[name] for name in RunRow.__slots__}
    fields |= {"id": show_id(Prefix.RUN, row["id"]), "roadmap_id": show_id(Prefix.ROADMAP, row["roadmap_id"])}
    fields |= {"user_id": show_id(Prefix.USER, row["user_id"])}
    return RunRow(**{**fields, "kind": RunKind(row["kind"]), "status": RunStatus(row["status"])})


FIND_OWNER_OF_RUN = """
SELECT user_id FROM runs WHERE id = $1
"""


async def find_owner_of_run(db: Executor, run_id: UUID) -> UUID | None:
    owner: UUID | None = await db.fetchval(FIND_OWNER_OF_RUN, run_id)
    return owner


LIST_STEPS = """
SELECT key, created_at AS at, duration_ms FROM run_steps WHERE run_id = $1 ORDER BY created_at, key LIMIT 1000
"""


async def list_steps(db: Executor, run_id: UUID) -> list[StepView]:
    return [StepView(**row) for row in await db.fetch(LIST_STEPS, run_id)]


_PIECE = """concept_id, kind, status, version, claim AS attempt, failures, crashes, error_code, error_message,
    claimed_by AS worker, due_at, not_before, updated_at"""

LIST_PIECES_OF_RUN = f"""
SELECT {_PIECE} FROM content WHERE run_id = $1 ORDER BY concept_id, kind LIMIT $2
"""  # noqa: S608  a constant list of columns

LIST_PIECES_OF_ROADMAP = f"""
SELECT {_PIECE} FROM content WHERE roadmap_id = $1 ORDER BY concept_id, kind LIMIT $2
"""  # noqa: S608  a constant list of columns

MOST_PIECES = 2_000


async def list_pieces(
    db: Executor, titles: dict[str, str], *, run_id: UUID | None = None, roadmap_id: UUID | None = None
) -> list[PieceView]:
    """Of a run, or of a roadmap; `titles` are those of its concepts, by id."""
    if run_id is not None:
        rows = await db.fetch(LIST_PIECES_OF_RUN, run_id, MOST_PIECES)
    else:
        rows = await db.fetch(LIST_PIECES_OF_ROADMAP, roadmap_id, MOST_PIECES)
    return [_load_piece(row, titles) for row in rows]


def _load_piece(row: Row, titles: dict[str, str]) -> PieceView:
    fields: dict[str, Any] = dict(row)
    concept_id = show_id(Prefix.CONCEPT, fields.pop("concept_id"))
    kind, status = Kind(fields.pop("kind")), ContentStatus(fields.pop("status"))
    return PieceView(concept_id, titles.get(concept_id), kind=kind, status=status, **fields)


LIST_CALLS = """
SELECT purpose, concept_id, model_calls.kind, model_calls.claim AS attempt, round, model_calls.status, provider, model,
       input_tokens, output_tokens, cost_micros, latency_ms, finish_reason, error, model_calls.created_at,
       extract(epoch FROM model_calls.created_at - runs.created_at)::float AS offset_seconds,
       latency_ms::float / 1000 AS seconds
FROM model_calls JOIN runs ON runs.id = run_id WHERE run_id = $1
ORDER BY model_calls.created_at, model_calls.id LIMIT $2
"""


async def list_calls(db: Executor, run_id: UUID, titles: dict[str, str], limit: int) -> list[CallView]:
    """In the order in which they began."""
    return [_load_call(row, titles) for row in await db.fetch(LIST_CALLS, run_id, limit)]


def _load_call(row: Row, titles: dict[str, str]) -> CallView:
    fields: dict[str, Any] = dict(row)
    concept = fields.pop("concept_id")
    concept_id = None if concept is None else show_id(Prefix.CONCEPT, concept)
    title, status = titles.get(concept_id or ""), CallStatus(fields.pop("status"))
    return CallView(concept_id=concept_id, concept_title=title, status=status, **fields)


FIND_COSTS = """
SELECT count(*)::int AS calls, coalesce(sum(cost_micros), 0)::bigint AS cost_micros,
       coalesce(sum(input_tokens), 0)::bigint AS input_tokens, coalesce(sum(output_tokens), 0)::bigint AS output_tokens
FROM model_calls WHERE run_id = $1
"""


async def find_costs(db: Executor, run_id: UUID) -> Sequence[int]:
    """Calls, micro-dollars, tokens in and tokens out."""
    row = await db.fetchrow(FIND_COSTS, run_id)
    assert row is not None  # noqa: S101  an aggregate has one row
    return tuple(row.values())
