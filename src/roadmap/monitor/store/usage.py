"""What the model was asked, and what that cost, from the ledger. Each statement reads a lot of it: ask rarely."""

from dataclasses import dataclass
from datetime import datetime

from roadmap.database import Executor
from roadmap.ids import Prefix, show_id
from roadmap.monitor.model.system import RoadmapCost

__all__ = [
    "BUSY",
    "DAYS",
    "HourUsage",
    "Latency",
    "count_latest",
    "list_dear_roadmaps",
    "list_hours",
    "list_latencies",
]

DAYS = 7
BUSY = "provider_busy"  # in `error`: a 429, or the like
MOST_MODELS = 50
LATEST_CALLS = 10_000


@dataclass(frozen=True, slots=True)
class HourUsage:
    """One model's hour, from `at`."""

    at: datetime
    provider: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_micros: int
    ok: int
    unusable: int
    outages: int
    busy: int


LIST_HOURS = """
SELECT date_trunc('hour', created_at, 'UTC') AS at, provider, model, count(*)::int AS calls,
       sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
       sum(cost_micros)::bigint AS cost_micros,
       count(*) FILTER (WHERE status = 'ok')::int AS ok, count(*) FILTER (WHERE status = 'unusable')::int AS unusable,
       count(*) FILTER (WHERE status = 'outage' AND error IS DISTINCT FROM $2)::int AS outages,
       count(*) FILTER (WHERE status = 'outage' AND error = $2)::int AS busy
FROM model_calls WHERE created_at >= $1 AND created_at < $1 + interval '1 day'
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $3
"""


async def list_hours(db: Executor, day: datetime) -> list[HourUsage]:
    """Of the day that begins then, oldest first."""
    return [HourUsage(**row) for row in await db.fetch(LIST_HOURS, day, BUSY, 24 * MOST_MODELS)]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds."""

    provider: str
    model: str
    p50: int
    p95: int


LIST_LATENCIES = """
WITH latest AS (
    SELECT provider, model, latency_ms FROM model_calls
    WHERE created_at > now() - make_interval(days => $1) ORDER BY created_at DESC LIMIT $2
)
SELECT provider, model, percentile_disc(0.5) WITHIN GROUP (ORDER BY latency_ms) AS p50,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms) AS p95
FROM latest WHERE latency_ms IS NOT NULL GROUP BY provider, model
"""


async def list_latencies(db: Executor) -> list[Latency]:
    """Of the newest calls that have ended."""
    return [Latency(**row) for row in await db.fetch(LIST_LATENCIES, DAYS, LATEST_CALLS)]


# By their ends: outages are quick, and would stand before answers that began as early.
COUNT_LATEST = """
WITH latest AS (
    SELECT status, error FROM model_calls
    WHERE created_at > now() - interval '10 minutes' AND settled_at IS NOT NULL ORDER BY settled_at DESC LIMIT $1
)
SELECT count(*)::int AS calls, count(*) FILTER (WHERE status = 'outage' AND error IS DISTINCT FROM $2)::int AS outages
FROM latest
"""


async def count_latest(db: Executor, most: int) -> tuple[int, int]:
    """Of the last ten minutes' newest calls that have ended: how many, and how many of them found nobody."""
    [row] = await db.fetch(COUNT_LATEST, most, BUSY)
    return row["calls"], row["outages"]


# Summed by run first: there are few of them.
LIST_DEAR_ROADMAPS = """
WITH spent AS (
    SELECT run_id, count(*) AS calls, sum(input_tokens + output_tokens) AS tokens, sum(cost_micros) AS cost_micros
    FROM model_calls WHERE created_at >= date_trunc('day', now(), 'UTC') - make_interval(days => $1 - 1)
    GROUP BY run_id
), dear AS (
    SELECT roadmap_id, sum(calls)::int AS calls, sum(tokens)::bigint AS tokens, sum(cost_micros)::bigint AS cost_micros
    FROM spent JOIN runs ON runs.id = run_id GROUP BY roadmap_id
    ORDER BY sum(cost_micros) DESC, sum(tokens) DESC, roadmap_id LIMIT $2
)
SELECT roadmap_id, users.email AS learner, left(goal, 200) AS goal, calls, tokens, cost_micros
FROM dear JOIN roadmaps ON roadmaps.id = roadmap_id JOIN users ON users.id = roadmaps.user_id
ORDER BY cost_micros DESC, tokens DESC, roadmap_id
"""


async def list_dear_roadmaps(db: Executor, limit: int) -> list[RoadmapCost]:
    """The dearest of the last days; without prices, those with the most tokens."""
    rows = await db.fetch(LIST_DEAR_ROADMAPS, DAYS, limit)
    return [RoadmapCost(**{**row, "roadmap_id": show_id(Prefix.ROADMAP, row["roadmap_id"])}) for row in rows]
