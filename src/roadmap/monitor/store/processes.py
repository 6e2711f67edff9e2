"""Processes by their heartbeats, and what they hold."""

from collections.abc import Sequence

from roadmap.database import Executor, Row
from roadmap.heartbeat import Process
from roadmap.ids import Prefix, show_id
from roadmap.monitor.model.processes import JobView, WorkerRow

__all__ = ["list_jobs", "list_workers", "log_counters"]

LIST_WORKERS = """
SELECT name, process, host, pid, version, started_at, seen_at, polled_at, running, loop_lag_ms, memory_bytes,
       connections, connections_used, hibernating_since, asked_in_vain_since, now() AS now
FROM workers ORDER BY seen_at DESC, name LIMIT $1
"""


async def list_workers(db: Executor, limit: int) -> list[WorkerRow]:
    """Those heard of last come first."""
    rows = await db.fetch(LIST_WORKERS, limit)
    return [WorkerRow(**{**row, "process": Process(row["process"])}) for row in rows]


# A piece's row is not written between its claim and its end, except for `due_at`.
LIST_PIECES_HELD = """
SELECT claimed_by AS worker, run_id, content.roadmap_id, concept_id, array_agg(kind ORDER BY kind) AS kinds,
       max(claim) AS attempt, extract(epoch FROM now() - min(content.updated_at))::float AS elapsed_seconds,
       left(min(goal), 200) AS goal
FROM content JOIN roadmaps ON roadmaps.id = content.roadmap_id
WHERE claimed_by IS NOT NULL
GROUP BY claimed_by, run_id, content.roadmap_id, concept_id ORDER BY elapsed_seconds DESC LIMIT $1
"""

LIST_DRAFTS_HELD = """
SELECT claimed_by AS worker, runs.id AS run_id, roadmap_id, claim AS attempt,
       extract(epoch FROM now() - claimed_at)::float AS elapsed_seconds, left(goal, 200) AS goal
FROM runs JOIN roadmaps ON roadmaps.id = roadmap_id
WHERE runs.status = 'drafting' AND claimed_by IS NOT NULL ORDER BY claimed_at LIMIT $1
"""


async def list_jobs(db: Executor, limit: int) -> list[JobView]:
    """What processes hold by their rows: of each kind of work those held longest."""
    drafts = [_load("draft", row) for row in await db.fetch(LIST_DRAFTS_HELD, limit)]
    return drafts + [_load("write_concept", row) for row in await db.fetch(LIST_PIECES_HELD, limit)]


def _load(function: str, row: Row) -> JobView:
    concept_id, kinds = row.get("concept_id"), row.get("kinds")
    return JobView(
        function=function,
        worker=row["worker"],
        run_id=show_id(Prefix.RUN, row["run_id"]),
        roadmap_id=show_id(Prefix.ROADMAP, row["roadmap_id"]),
        concept_id=show_id(Prefix.CONCEPT, concept_id) if concept_id else None,
        kinds=tuple(kinds or ()),
        goal=row["goal"],
        attempt=row["attempt"],
        elapsed_seconds=row["elapsed_seconds"],
    )


# A process has a row for each of its roles, and one recorder.
LOG_COUNTERS = """
SELECT coalesce(sum(waiting), 0)::bigint AS waiting, coalesce(sum(dropped), 0)::bigint AS dropped,
       coalesce(sum(spilled), 0)::bigint AS spilled
FROM (
    SELECT max(log_waiting) AS waiting, max(log_dropped) AS dropped, max(log_spilled) AS spilled
    FROM workers WHERE seen_at > now() - make_interval(secs => $1) GROUP BY host, pid
) AS processes
"""


async def log_counters(db: Executor, alive: float) -> Sequence[int]:
    """Entries that living processes have waiting, dropped and spilled."""
    row = await db.fetchrow(LOG_COUNTERS, alive)
    assert row is not None  # noqa: S101  an aggregate has one row
    return tuple(row.values())
