"""The execution log's SQL: writing, confirming, reading, and the days of its partitions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import structlog

from roadmap.database import Database, Executor, Row, like_pattern
from roadmap.errors import Outage
from roadmap.execution_log.model import JSON, Category, Entry, Level, encode
from roadmap.ids import new_id

__all__ = ["DeadLetter", "Filters", "Mark", "Period", "add_dead_letter", "find_written", "insert", "keep_partitions"]
__all__ += ["LoggedRun", "add_entry", "find_runs", "latest", "page"]

log = structlog.get_logger()

DAYS_AHEAD = 7
PAGE_LIMIT = 1_000
_DROPS_AT_ONCE = 1_000


INSERT = """
INSERT INTO execution_log (id, at, run_id, concept_id, step, level, category, message, details, duration_ms)
SELECT id, at, run_id, concept_id, step, level, category, message, details, duration_ms
FROM json_to_recordset($1::text::json) AS entries (
    id uuid, at timestamptz, run_id uuid, concept_id uuid, step text,
    level text, category text, message text, details jsonb, duration_ms integer
)
ON CONFLICT DO NOTHING
"""


async def insert(db: Executor, text: str) -> int:
    """Writes a JSON array of entries and returns how many of them were new."""
    return int((await db.execute(INSERT, text)).rpartition(" ")[2])


async def add_entry(tx: Executor, run_id: UUID, category: Category, message: str, details: Mapping[str, JSON]) -> None:
    """For who has no recorder: one entry, committed with what it tells of."""
    fields: dict[str, JSON] = {
        "id": new_id(),
        "at": datetime.now(UTC),
        "run_id": run_id,
        "concept_id": None,
        "step": None,
        "level": Level.INFO,
        "category": category,
        "message": message,
        "details": details,
        "duration_ms": None,
    }
    await insert(tx, f"[{encode(fields).decode()}]")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What PostgreSQL refused, as it came."""

    id: UUID
    batch_id: UUID
    raw: bytes
    error: str


INSERT_DEAD_LETTER = """
INSERT INTO log_dead_letters (id, batch_id, raw, error) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""


async def add_dead_letter(db: Executor, letter: DeadLetter) -> None:
    await db.execute(INSERT_DEAD_LETTER, letter.id, letter.batch_id, letter.raw, letter.error)


@dataclass(frozen=True, slots=True)
class Mark:
    """The last entry of a batch: batches are written in order, so it is there only when all before it are."""

    batch_id: UUID
    last_id: UUID
    last_at: datetime


# LATERAL with LIMIT pins the plan to one index look-up for each batch, in the one partition of its day.
FIND_WRITTEN = """
SELECT mark.batch_id
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS mark (batch_id, last_id, last_at)
LEFT JOIN LATERAL (
    SELECT true AS found FROM execution_log WHERE id = mark.last_id AND at = mark.last_at LIMIT 1
) AS entry ON true
LEFT JOIN LATERAL (
    SELECT true AS found FROM log_dead_letters WHERE id = mark.last_id OR id = mark.batch_id LIMIT 1
) AS letter ON true
WHERE entry.found OR letter.found
"""


async def find_written(db: Executor, marks: Collection[Mark]) -> set[UUID]:
    """Which of these batches are in PostgreSQL, as entries or as dead letters."""
    batches = [mark.batch_id for mark in marks]
    ids, times = [mark.last_id for mark in marks], [mark.last_at for mark in marks]
    return {row["batch_id"] for row in await db.fetch(FIND_WRITTEN, batches, ids, times)}


@dataclass(frozen=True, slots=True)
class Period:
    """From `begin` to `end`, both included: the times of the runs that are read, so that few partitions are."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Filters:
    """`level` is the lowest shown; `text` is looked for in the message, in any case of letters."""

    level: Level = Level.DEBUG
    category: Category | None = None
    step: str | None = None
    concept_id: UUID | None = None
    text: str | None = None


PAGE = """
SELECT id, at, run_id, concept_id, step, level, category, message, details, duration_ms
FROM execution_log
WHERE run_id = ANY($1::uuid[])
    AND at BETWEEN $2 AND $3
    AND ($4::uuid IS NULL OR (at, id) > ($2, $4))
    AND level = ANY($5::text[])
    AND ($6::text IS NULL OR category = $6)
    AND ($7::text IS NULL OR step = $7)
    AND ($8::uuid IS NULL OR concept_id = $8)
    AND ($9::text IS NULL OR message ILIKE $9)
ORDER BY at, id
LIMIT $10
"""


async def page(
    db: Executor,
    run_ids: Sequence[UUID],
    period: Period,
    filters: Filters | None = None,
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 100,
) -> list[Entry]:
    """The runs' entries by time, then id. `after` is the last entry that the caller has seen, its time and id."""
    wanted = filters or Filters()
    begin, after_id = after if after is not None and after[0] >= period.begin else (period.begin, None)
    rows = await db.fetch(
        PAGE,
        list(run_ids),
        begin,
        period.end,
        after_id,
        wanted.level.and_above(),
        wanted.category,
        wanted.step,
        wanted.concept_id,
        like_pattern(wanted.text),
        min(limit, PAGE_LIMIT),
    )
    return [_entry(row) for row in rows]


LATEST = """
SELECT id, at, run_id, concept_id, step, level, category, message, details, duration_ms
FROM execution_log
WHERE run_id = $1 AND at BETWEEN $2 AND $3 AND ($5::uuid IS NULL OR concept_id = $5)
ORDER BY at DESC, id DESC LIMIT $4
"""


async def latest(db: Executor, run_id: UUID, period: Period, limit: int, concept_id: UUID | None = None) -> list[Entry]:
    """A run's newest entries, or those of one concept, the newest first."""
    rows = await db.fetch(LATEST, run_id, period.begin, period.end, limit, concept_id)
    return [_entry(row) for row in rows]


def _entry(row: Row) -> Entry:
    return Entry(**{**row, "level": Level(row["level"]), "category": Category(row["category"])})


ADD_DAY = "SELECT execution_log_add_day($1)"
DROP_DAY = "SELECT execution_log_drop_day($1)"
DELETE_STRAYS = "DELETE FROM execution_log_default WHERE at < $1"
DELETE_DEAD_LETTERS = "DELETE FROM log_dead_letters WHERE at < $1"


async def keep_partitions(db: Database, days: int) -> list[str]:
    """Makes the days ahead and drops what is older than `days`; returns the names of the dropped partitions.

    Each step is a transaction of its own that gives up after 2 s of waiting for a lock: the next call goes on.
    """
    today = datetime.now(UTC).date()
    dropped = []
    try:
        for ahead in range(DAYS_AHEAD + 1):
            await db.fetchval(ADD_DAY, today + timedelta(days=ahead))
        dropped = await _drop_before(db, today - timedelta(days=days))
    except Outage as exc:
        log.warning("log_partitions_postponed", error=str(exc))
    return dropped


async def _drop_before(db: Database, first: date) -> list[str]:
    names: list[str] = []
    for _ in range(_DROPS_AT_ONCE):
        name = await db.fetchval(DROP_DAY, first)
        if name is None:
            break
        names.append(name)
    midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
    await db.execute(DELETE_STRAYS, midnight)
    await db.execute(DELETE_DEAD_LETTERS, midnight)
    return names


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run, and the times between which its entries lie."""

    id: UUID
    begin: datetime
    end: datetime


FIND_RUNS = """
SELECT runs.id, runs.created_at AS begin, coalesce(finished_at, now()) AS end
FROM runs JOIN roadmaps ON roadmaps.id = runs.roadmap_id
WHERE roadmap_id = $1 AND roadmaps.user_id = $2 AND deleted_at IS NULL ORDER BY runs.id DESC LIMIT 100
"""


async def find_runs(db: Executor, user_id: UUID, roadmap_id: UUID) -> list[LoggedRun]:
    """The newest 100 runs of the roadmap, when it is this user's."""
    return [LoggedRun(**row) for row in await db.fetch(FIND_RUNS, roadmap_id, user_id)]
