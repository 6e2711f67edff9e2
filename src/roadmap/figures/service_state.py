"""The service as its rows show it, in one statement that is cheap enough for every look of a scraper."""

from collections.abc import Mapping
from dataclasses import dataclass

from roadmap.database import Executor
from roadmap.heartbeat import ALIVE, Process

__all__ = ["ServiceState", "read_service_state"]

# No more are counted: it would take longer, and say nothing new.
MOST_DEAD = 10_000


@dataclass(frozen=True, slots=True)
class ServiceState:
    """`workers` by process and state, with zeros: alive, hibernating, silent (dead, or a part of the last day's past;
    or asked in vain to wake). `silent`: seconds since the last heartbeat, by process; one of which there is none is
    not in it."""

    dead_jobs: int
    workers: Mapping[tuple[str, ...], int]
    silent: Mapping[str, float]


READ_SERVICE_STATE = """
SELECT NULL AS process, NULL AS state, count(*)::int AS count, NULL::float8 AS silent
FROM (SELECT FROM dead_jobs WHERE status = 'dead' LIMIT $2) AS dead
UNION ALL
SELECT process, CASE WHEN asked_in_vain_since IS NOT NULL THEN 'silent'
                     WHEN hibernating_since IS NOT NULL THEN 'hibernating'
                     WHEN seen_at > now() - make_interval(secs => $1) THEN 'alive' ELSE 'silent' END,
       count(*)::int, extract(epoch FROM now() - max(seen_at))::float8
FROM workers GROUP BY 1, 2
"""


async def read_service_state(db: Executor) -> ServiceState:
    """Raises Outage."""
    dead_jobs = 0
    workers: dict[tuple[str, ...], int] = {
        (process.value, state): 0 for process in Process for state in ("alive", "hibernating", "silent")
    }
    silent: dict[str, float] = {}
    for process, state, count, age in await db.fetch(READ_SERVICE_STATE, ALIVE, MOST_DEAD):
        if process is None:
            dead_jobs = count
            continue
        workers[process, state] = count
        if state != "hibernating":
            silent[process] = min(age, silent.get(process, age))
    return ServiceState(dead_jobs, workers, silent)
