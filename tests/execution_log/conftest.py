"""A queue, and a running logs worker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from arq.connections import ArqRedis
from arq.worker import Worker, func
from log_reading import LogsWorker

from roadmap.database import Database
from roadmap.execution_log.jobs import Committer, open_committer, write_log_batch
from roadmap.execution_log.recorder import Pace
from roadmap.ids import new_id
from roadmap.queue.client import Queue, open_queue
from roadmap.queue.model import dump_job, load_job

QUICK = Pace(interval=0.02, confirm_every=0.05, resend_after=0.3, close_wait=0.3, back_off=0.1)


@pytest.fixture
def pace() -> Pace:
    """As in production, but without its patience."""
    return QUICK


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[Queue]:
    async with open_queue(redis_url, timeout=2) as opened:
        yield opened


@pytest.fixture
def run_id() -> UUID:
    return new_id()


@pytest.fixture
def logs_worker(database: Database) -> LogsWorker:
    """Serves the queue `logs` of a Redis with a stock arq worker."""

    @asynccontextmanager
    async def serve(url: str) -> AsyncIterator[Committer]:
        async with open_committer(database) as committer:

            async def write(ctx: dict[str, Any], payload: str) -> None:
                await write_log_batch(committer, payload, ctx["job_id"])

            async with running(url, write):
                yield committer

    return serve


@asynccontextmanager
async def running(url: str, write: Callable[[dict[str, Any], str], Awaitable[None]]) -> AsyncIterator[None]:
    worker = Worker(
        functions=[func(write, name="write_log_batch")],
        queue_name="logs",
        redis_pool=ArqRedis.from_url(url),
        handle_signals=False,
        poll_delay=0.02,
        max_jobs=500,
        job_serializer=dump_job,
        job_deserializer=load_job,
        keep_result=0,
    )
    task = asyncio.create_task(worker.async_run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.close()
