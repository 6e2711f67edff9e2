"""What operators see, from PostgreSQL."""

from roadmap.database import Executor
from roadmap.heartbeat import Process
from roadmap.monitor.model import WorkerRow

__all__ = ["list_workers"]

LIST_WORKERS = """
SELECT name, process, host, pid, version, started_at, seen_at, polled_at, running, loop_lag_ms, memory_bytes,
       connections, connections_used, now() AS now
FROM workers ORDER BY seen_at DESC, name LIMIT $1
"""


async def list_workers(db: Executor, limit: int) -> list[WorkerRow]:
    """Those heard of last come first."""
    rows = await db.fetch(LIST_WORKERS, limit)
    return [WorkerRow(**{**row, "process": Process(row["process"])}) for row in rows]
