"""Ends the transactions of processes that froze, for they keep their locks: the others wait, with all of their pools.

PostgreSQL does that by itself since version 17 (`transaction_timeout`, see database.py), but not in older ones, and not
behind a pooler, where a session cannot be given time-outs.
"""

import asyncio
from collections.abc import Mapping

import structlog

from roadmap.database import Database

__all__ = ["end_frozen_transactions"]

log = structlog.get_logger()

SPARE_SECONDS = 5.0  # beyond the statement time-out: the living are done by then, or were ended
# What a frozen process did at once over all of its connections: each ended transaction hands its locks to the next.
ROUNDS = 20
PAUSE = 0.1

# A session that waits for its client: between two statements, between the messages of one, or in mid-answer. One that
# waits for a lock is somebody's victim. Names, not only the role: somebody may be dumping the database as the same one.
END_FROZEN = """
SELECT session.pid, pg_terminate_backend(session.pid)
FROM pg_stat_activity AS session
JOIN unnest($1::text[], $2::float8[]) AS ours (name, seconds) ON ours.name = session.application_name
WHERE session.datname = current_database() AND session.usename = current_user AND session.pid <> pg_backend_pid()
  AND session.xact_start < clock_timestamp() - make_interval(secs => ours.seconds)
  AND (session.state LIKE 'idle in transaction%' OR session.state = 'active' AND session.wait_event_type = 'Client')
"""


async def end_frozen_transactions(db: Database, limits: Mapping[str, float]) -> int:
    """Returns how many sessions it ended. `limits`: the statement time-out of each pool, in seconds, by its name."""
    seconds = [limit + SPARE_SECONDS for limit in limits.values()]
    ended: set[int] = set()
    for _ in range(ROUNDS):
        found = {int(row["pid"]) for row in await db.fetch(END_FROZEN, list(limits), seconds)}
        if not found:
            break
        ended |= found
        await asyncio.sleep(PAUSE)
    if ended:
        log.warning("frozen_transactions_ended", count=len(ended))
    return len(ended)
