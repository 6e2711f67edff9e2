"""GET /v1/admin/…: the service as its operators see it."""

from typing import Any

from pydantic import BaseModel, Field

from roadmap.api.answers import JSONAnswer, utc
from roadmap.api.operation import Call, NoBody, NoQuery
from roadmap.database import Database
from roadmap.heartbeat import Process, count_alive
from roadmap.monitor import store
from roadmap.monitor.model import WorkerRow, WorkerState
from roadmap.queue.client import Queue

__all__ = ["QueueList", "WorkerList", "list_queues", "list_workers"]

MOST_WORKERS = 500
QUEUES = (Process.CONTENT, Process.LOGS)


class WorkerModel(BaseModel):
    name: str
    process: Process
    state: WorkerState = Field(description="`asleep`: it lives, and has not looked at its queue for a minute")
    silent_seconds: float = Field(description="since its last heartbeat; they come every five seconds")
    host: str
    pid: int
    version: str
    started_at: str
    seen_at: str
    polled_at: str | None = Field(description="when it last looked at its queue; null: it has none, or cannot tell")
    running: int = Field(description="jobs")
    loop_lag_ms: int = Field(description="the longest in the ten seconds before the heartbeat")
    memory_bytes: int
    connections: int = Field(description="to PostgreSQL")
    connections_used: int


class WorkerList(BaseModel):
    data: list[WorkerModel]


async def list_workers(db: Database, _queue: Queue, _call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """Every process by its last heartbeat, the latest first, at most 500. One that ends as it should leaves the list;
    one that died stays for a day."""
    return JSONAnswer({"data": [_show_worker(row) for row in await store.list_workers(db, MOST_WORKERS)]})


def _show_worker(row: WorkerRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "process": row.process,
        "state": row.state,
        "silent_seconds": round(row.silent.total_seconds(), 3),
        "host": row.host,
        "pid": row.pid,
        "version": row.version,
        "started_at": utc(row.started_at),
        "seen_at": utc(row.seen_at),
        "polled_at": utc(row.polled_at),
        "running": row.running,
        "loop_lag_ms": row.loop_lag_ms,
        "memory_bytes": row.memory_bytes,
        "connections": row.connections,
        "connections_used": row.connections_used,
    }


class QueueModel(BaseModel):
    """What Redis knows is null while it is away."""

    name: str
    depth: int | None = Field(description="jobs: waiting, deferred and running")
    running: int | None = Field(description="of the first thousand in line")
    oldest_waiting_seconds: float | None = Field(description="among the first thousand in line; null: none waits")
    workers: int = Field(description="processes that serve it, by their heartbeats of the last 15 seconds")


class QueueList(BaseModel):
    data: list[QueueModel]


async def list_queues(db: Database, queue: Queue, _call: Call[NoBody, NoQuery]) -> JSONAnswer:
    """The queues as they stand, also without a worker. PostgreSQL knows the work even where Redis lost its jobs."""
    alive = await count_alive(db)
    return JSONAnswer({"data": [await _show_queue(queue, name, alive.get(name, 0)) for name in QUEUES]})


async def _show_queue(queue: Queue, name: str, workers: int) -> dict[str, Any]:
    line = await queue.line(name)
    return {
        "name": name,
        "depth": line.depth if line else None,
        "running": line.running if line else None,
        "oldest_waiting_seconds": line.oldest if line else None,
        "workers": workers,
    }
