"""The logs pool: commits batches of the execution log, and does the chores. Also runs under stock arq."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq.worker import Retry, func

from roadmap.accounts.limits import forget_old_failures
from roadmap.api.idempotency import forget_old_keys
from roadmap.audit.store import DAYS_KEPT, forget_old_entries
from roadmap.chores import repeat
from roadmap.dead_jobs.store import DAYS_RESOLVED, forget_resolved
from roadmap.errors import Outage
from roadmap.execution_log import jobs
from roadmap.execution_log.store import keep_partitions
from roadmap.figures.store import forget_old_minutes, roll_up
from roadmap.frozen import end_frozen_transactions
from roadmap.heartbeat import forget_dead_processes
from roadmap.processes.worker import Work, stock
from roadmap.queue.observer import Outcome
from roadmap.runs.sweeper import open_sweeper
from roadmap.runs.waker import open_waker
from roadmap.runtime import POOL_LIMITS, Process, Runtime


async def write_log_batch(ctx: dict[str, Any], payload: str) -> Outcome:
    try:
        return await jobs.write_log_batch(ctx["committer"], payload, ctx["job_id"])
    except Outage as exc:
        raise Retry(defer=min(exc.retry_in * ctx["job_try"], 30)) from exc


@asynccontextmanager
async def open_tools(runtime: Runtime) -> AsyncIterator[dict[str, Any]]:
    settings = runtime.settings
    async with (
        jobs.open_committer(runtime.db) as committer,
        open_sweeper(runtime.db, runtime.queue, settings.lease),
        open_waker(runtime.db),
        repeat(lambda: keep_partitions(runtime.db, settings.log_retention_days), 3600),
        repeat(lambda: forget_old_keys(runtime.db), 3600),
        repeat(lambda: forget_resolved(runtime.db, DAYS_RESOLVED), 3600),
        repeat(lambda: forget_dead_processes(runtime.db), 3600),
        repeat(lambda: roll_up(runtime.db), 60),
        repeat(lambda: forget_old_minutes(runtime.db), 3600),
        repeat(lambda: forget_old_failures(runtime.db), 3600),
        repeat(lambda: forget_old_entries(runtime.db, DAYS_KEPT), 3600),
        repeat(lambda: end_frozen_transactions(runtime.db, POOL_LIMITS), 5),
    ):
        yield {"runtime": runtime, "committer": committer}


# Batches: those that are there at once are committed in one statement.
AT_ONCE = 100
FUNCTIONS = [func(write_log_batch, timeout=120)]
WORK = Work(Process.LOGS, FUNCTIONS, open_tools, AT_ONCE)
WorkerSettings = stock(WORK)
