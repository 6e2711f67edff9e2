"""`roadmap dead-jobs`: what was given up, and what to do about it."""

import asyncio
import json
from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from roadmap.database import Database, open_database
from roadmap.dead_jobs import store
from roadmap.dead_jobs.model import DeadJobStatus, Selection
from roadmap.errors import NotFound
from roadmap.ids import Prefix, parse_id
from roadmap.migrate import require_schema
from roadmap.monitor.dead_jobs import show_dead_job, show_detail, show_group, show_outcome
from roadmap.queue.client import Queue, open_queue
from roadmap.runs.retry import Outcome, discard_dead_jobs, retry_dead_jobs
from roadmap.runtime import Process, pool, require_servers
from roadmap.settings import read_settings

__all__ = ["discard", "list_all", "list_groups", "retry", "show"]

WHO = "cli"
MOST_GROUPS = 1_000
LIST = ("id", "died_at", "attempts", "function", "kind", "code", "error_class", "fingerprint", "message")
GROUPS = ("fingerprint", "count", "last_died_at", "function", "kind", "code", "error_class", "message")
WIDEST = 60

Work = Callable[[Database, Queue], Awaitable[int]]


def list_all(arguments: Namespace) -> int:
    async def work(db: Database, _queue: Queue) -> int:
        status = None if arguments.status == "all" else DeadJobStatus(arguments.status)
        filters = store.Filters(status, arguments.function, arguments.fingerprint)
        found = await store.list_dead_jobs(db, filters, None, arguments.limit)
        _print([show_dead_job(dead) for dead in found], LIST, as_json=arguments.json)
        return 0

    return _run(work)


def list_groups(arguments: Namespace) -> int:
    async def work(db: Database, _queue: Queue) -> int:
        groups = await store.list_groups(db, MOST_GROUPS)
        _print([show_group(group) for group in groups], GROUPS, as_json=arguments.json)
        return 0

    return _run(work)


def show(arguments: Namespace) -> int:
    """Raises NotFound."""

    async def work(db: Database, _queue: Queue) -> int:
        dead = await store.find_dead_job(db, parse_id(Prefix.DEAD_JOB, arguments.id))
        if dead is None:
            raise NotFound("no such dead job")
        _print_detail(show_detail(dead))
        return 0

    return _run(work)


def retry(arguments: Namespace) -> int:
    async def work(db: Database, queue: Queue) -> int:
        return await _until_done(arguments, lambda wanted: retry_dead_jobs(db, queue, wanted, WHO))

    return _run(work)


def discard(arguments: Namespace) -> int:
    async def work(db: Database, _queue: Queue) -> int:
        return await _until_done(arguments, lambda wanted: discard_dead_jobs(db, wanted, WHO))

    return _run(work)


async def _until_done(arguments: Namespace, work: Callable[[Selection], Awaitable[Outcome]]) -> int:
    """1 when any is left. Each round ends within seconds; one that got nowhere is the last."""
    ids = tuple(parse_id(Prefix.DEAD_JOB, text) for text in arguments.ids) or None
    outcome = await work(Selection(ids, arguments.fingerprint))
    done = outcome.done
    while outcome.more and outcome.done:
        outcome = await work(Selection(ids, arguments.fingerprint))
        done += outcome.done
    for skipped in show_outcome(outcome)["skipped"]:
        print(f"{skipped['id']}  {skipped['reason']}")
    print(f"{done} {arguments.done}, {outcome.left} left")
    return 1 if outcome.left else 0


def _run(work: Work) -> int:
    return asyncio.run(_with_servers(work))


async def _with_servers(work: Work) -> int:
    settings = read_settings()
    require_servers(settings)
    async with (
        open_database(pool(settings, Process.WEB)) as db,
        open_queue(settings.redis_url.get_secret_value(), namespace=settings.redis_namespace) as queue,
    ):
        await require_schema(db)
        return await work(db, queue)


def _print(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    lines = [columns, *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _print_detail(shown: dict[str, Any]) -> None:
    traceback = shown.pop("traceback")
    for name, value in shown.items():
        print(f"{name:12} {'-' if value is None else value}")
    print(f"\n{traceback}" if traceback else "\nno traceback: no code raised anything")


def _cell(value: object) -> str:
    """On one line, whatever a message holds."""
    text = "-" if value is None else " ".join(str(value).split())
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
