"""Figures in PostgreSQL: of each process while a minute may still change, of all together afterwards, for seven days.

A minute's life, by the database's clock: its process writes it again and again for ten minutes (an outage of that
length loses nothing); from then on a write is refused; after twelve it is added to `function_minutes`, in the statement
that deletes it. So each figure is in one of the tables, once, whatever froze, died or was done twice.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from roadmap.database import Executor, Row
from roadmap.figures.model import Point, Step, Tally, Times

__all__ = [
    "OPEN_MINUTES",
    "forget_old_minutes",
    "read_clock",
    "read_series",
    "roll_up",
    "write_minutes",
]

OPEN_MINUTES = 10
DAYS_KEPT = 7
AT_ONCE = 5_000

READ_CLOCK = """
SELECT clock_timestamp()
"""


async def read_clock(db: Executor) -> datetime:
    """The time by which minutes are counted, on all machines."""
    clock: datetime = await db.fetchval(READ_CLOCK)
    return clock


# A repeat changes nothing. clock_timestamp() and not now(): what counts is when the row is written.
WRITE_MINUTES = """
WITH given AS (
    SELECT to_timestamp(at) AS minute, m.* FROM jsonb_to_recordset($2::jsonb) AS m (
        at bigint, function text, offered integer, succeeded integer, failed integer, returned integer,
        wait_ms bigint, duration_ms bigint, waits integer[], durations integer[]
    )
), written AS (
    INSERT INTO process_minutes (minute, function, process, offered, succeeded, failed, returned, wait_ms, duration_ms,
                                 waits, durations)
    SELECT minute, function, $1, offered, succeeded, failed, returned, wait_ms, duration_ms, waits, durations
    FROM given WHERE minute > clock_timestamp() - make_interval(mins => $3)
    ON CONFLICT (minute, function, process) DO UPDATE SET
        offered = EXCLUDED.offered, succeeded = EXCLUDED.succeeded, failed = EXCLUDED.failed,
        returned = EXCLUDED.returned, wait_ms = EXCLUDED.wait_ms, duration_ms = EXCLUDED.duration_ms,
        waits = EXCLUDED.waits, durations = EXCLUDED.durations
    RETURNING 1
)
SELECT (SELECT count(*) FROM written)::int AS written, clock_timestamp() AS clock
"""


async def write_minutes(db: Executor, process: str, minutes: Sequence[dict[str, Any]]) -> tuple[int, datetime]:
    """How many were written (those that began more than ten minutes ago are not), and the time. Raises Outage."""
    row = await db.fetchrow(WRITE_MINUTES, process, list(minutes), OPEN_MINUTES)
    assert row is not None  # noqa: S101  a SELECT without FROM has one row
    return row["written"], row["clock"]


ROLL_UP = """
WITH closed AS (
    DELETE FROM process_minutes WHERE (minute, function, process) IN (
        SELECT minute, function, process FROM process_minutes
        WHERE minute < now() - make_interval(mins => $1 + 2)
        ORDER BY minute, function, process LIMIT $2 FOR UPDATE SKIP LOCKED
    ) RETURNING *
), places AS (
    SELECT function, minute, place, coalesce(sum(w), 0)::int AS w, coalesce(sum(d), 0)::int AS d
    FROM closed, unnest(waits, durations) WITH ORDINALITY AS counted (w, d, place) GROUP BY function, minute, place
), counts AS (
    SELECT function, minute, array_agg(w ORDER BY place) AS waits, array_agg(d ORDER BY place) AS durations
    FROM places GROUP BY function, minute
), sums AS (
    SELECT function, minute, sum(offered)::int AS offered, sum(succeeded)::int AS succeeded, sum(failed)::int AS failed,
           sum(returned)::int AS returned, sum(wait_ms)::bigint AS wait_ms, sum(duration_ms)::bigint AS duration_ms
    FROM closed GROUP BY function, minute
)
INSERT INTO function_minutes AS kept (function, minute, offered, succeeded, failed, returned, wait_ms, duration_ms,
                                      waits, durations)
SELECT function, minute, offered, succeeded, failed, returned, wait_ms, duration_ms,
       coalesce(waits, '{}'), coalesce(durations, '{}')
FROM sums LEFT JOIN counts USING (function, minute) ORDER BY function, minute
ON CONFLICT (function, minute) DO UPDATE SET
    offered = kept.offered + EXCLUDED.offered, succeeded = kept.succeeded + EXCLUDED.succeeded,
    failed = kept.failed + EXCLUDED.failed, returned = kept.returned + EXCLUDED.returned,
    wait_ms = kept.wait_ms + EXCLUDED.wait_ms, duration_ms = kept.duration_ms + EXCLUDED.duration_ms,
    waits = ARRAY(
        SELECT coalesce(one, 0) + coalesce(other, 0)
        FROM unnest(kept.waits, EXCLUDED.waits) WITH ORDINALITY AS both_of (one, other, place) ORDER BY place
    ),
    durations = ARRAY(
        SELECT coalesce(one, 0) + coalesce(other, 0)
        FROM unnest(kept.durations, EXCLUDED.durations) WITH ORDINALITY AS both_of (one, other, place) ORDER BY place
    )
"""


async def roll_up(db: Executor) -> None:
    """Puts the processes' minutes together that nobody may write any more. Any number of processes may do so at once:
    each row is deleted, and so counted, by one of them."""
    await db.execute(ROLL_UP, OPEN_MINUTES, AT_ONCE)


FORGET_OLD_MINUTES = """
DELETE FROM function_minutes WHERE (function, minute) IN (
    SELECT function, minute FROM function_minutes WHERE minute < now() - make_interval(days => $1) LIMIT $2
)
"""


async def forget_old_minutes(db: Executor) -> None:
    """After seven days."""
    await db.execute(FORGET_OLD_MINUTES, DAYS_KEPT, AT_ONCE)


# Both tables in one statement, and so of one moment: what is rolled up meanwhile is seen in one of them.
READ_SERIES = """
WITH span AS (
    SELECT date_trunc($2, now() - $1::interval, 'UTC') AS since
), figures AS (
    SELECT function, date_trunc($2, minute, 'UTC') AS at, offered, succeeded, failed, returned, wait_ms, duration_ms,
           waits, durations
    FROM function_minutes, span WHERE minute >= since AND ($3::text IS NULL OR function = $3)
    UNION ALL
    SELECT function, date_trunc($2, minute, 'UTC'), offered, succeeded, failed, returned, wait_ms, duration_ms,
           waits, durations
    FROM process_minutes, span WHERE minute >= since AND ($3::text IS NULL OR function = $3)
), places AS (
    SELECT function, at, place, coalesce(sum(w), 0)::bigint AS w, coalesce(sum(d), 0)::bigint AS d
    FROM figures, unnest(waits, durations) WITH ORDINALITY AS counted (w, d, place) GROUP BY function, at, place
), counts AS (
    SELECT function, at, array_agg(w ORDER BY place) AS waits, array_agg(d ORDER BY place) AS durations
    FROM places GROUP BY function, at
), sums AS (
    SELECT function, at, sum(offered)::bigint AS offered, sum(succeeded)::bigint AS succeeded,
           sum(failed)::bigint AS failed, sum(returned)::bigint AS returned, sum(wait_ms)::bigint AS wait_ms,
           sum(duration_ms)::bigint AS duration_ms
    FROM figures GROUP BY function, at
)
SELECT function, at, offered, succeeded, failed, returned, wait_ms, duration_ms,
       coalesce(waits, '{}') AS waits, coalesce(durations, '{}') AS durations
FROM sums LEFT JOIN counts USING (function, at) ORDER BY function, at
"""


async def read_series(db: Executor, span: timedelta, step: Step, function: str | None = None) -> dict[str, list[Point]]:
    """By function (of all, or of one): the minutes or hours since `span` ago in which something happened, in order. The
    first is whole, so the series may reach a little further back."""
    series: defaultdict[str, list[Point]] = defaultdict(list)
    for row in await db.fetch(READ_SERIES, span, step.value, function):
        series[row["function"]].append(_point(row))
    return dict(series)


def _point(row: Row) -> Point:
    return Point(
        row["at"],
        Tally(
            row["offered"],
            row["succeeded"],
            row["failed"],
            row["returned"],
            Times(row["wait_ms"] / 1000, row["waits"]),
            Times(row["duration_ms"] / 1000, row["durations"]),
        ),
    )
