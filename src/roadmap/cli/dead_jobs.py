"""`roadmap dead-jobs`: what was given up, and what to do about it."""

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import Any

from roadmap.audit.model import COMMAND_LINE
from roadmap.cli.rows import print_rows, readable
from roadmap.database import Database, open_database
from roadmap.dead_jobs import store
from roadmap.dead_jobs.model import DeadJobStatus, Selection
from roadmap.ids import Prefix, parse_id, show_id
from roadmap.migrate import require_schema
from roadmap.monitor import actions, showing
from roadmap.monitor.service.failures import list_dead, read_dead
from roadmap.queue.client import Queue, open_queue
from roadmap.runs.retry import Outcome
from roadmap.runtime import Process, pool, require_servers
from roadmap.settings import read_settings

__all__ = ["discard", "list_all", "list_groups", "retry", "run", "show"]

MOST_GROUPS = 1_000
LIST = ("id", "died_at", "attempts", "function", "kind", "code", "error_class", "fingerprint", "message")
GROUPS = ("fingerprint", "count", "last_died_at", "function", "kind", "code", "error_class", "message")

Work = Callable[[Database, Queue], Awaitable[int]]


def list_all(arguments: Namespace) -> int:
    async def work(db: Database, _queue: Queue) -> int:
        status = None if arguments.status == "all" else DeadJobStatus(arguments.status)
        filters = store.Filters(status, arguments.function, arguments.fingerprint)
        page = await list_dead(db, filters, None, arguments.limit)
        print_rows(showing.show(page.data), LIST, as_json=arguments.json)
        return 0

    return run(work)


def list_groups(arguments: Namespace) -> int:
    async def work(db: Database, _queue: Queue) -> int:
        groups = await store.list_groups(db, MOST_GROUPS)
        print_rows(showing.show(groups), GROUPS, as_json=arguments.json)
        return 0

    return run(work)


def show(arguments: Namespace) -> int:
    """Raises NotFound."""

    async def work(db: Database, _queue: Queue) -> int:
        view = await read_dead(db, parse_id(Prefix.DEAD_JOB, arguments.id))
        _print_detail(showing.show(view))
        return 0

    return run(work)


def retry(arguments: Namespace) -> int:
    async def work(db: Database, queue: Queue) -> int:
        return await _until_done(arguments, lambda wanted: actions.retry_dead_jobs(db, queue, wanted, COMMAND_LINE))

    return run(work)


def discard(arguments: Namespace) -> int:
    async def work(db: Database, _queue: Queue) -> int:
        return await _until_done(arguments, lambda wanted: actions.discard_dead_jobs(db, wanted, COMMAND_LINE))

    return run(work)


async def _until_done(arguments: Namespace, work: Callable[[Selection], Awaitable[Outcome]]) -> int:
    """1 when any is left. Each round ends within seconds; one that got nowhere is the last."""
    ids = tuple(parse_id(Prefix.DEAD_JOB, text) for text in arguments.ids) or None
    outcome = await work(Selection(ids, arguments.fingerprint))
    done = outcome.done
    while outcome.more and outcome.done:
        outcome = await work(Selection(ids, arguments.fingerprint))
        done += outcome.done
    for skipped in outcome.skipped:
        print(f"{show_id(Prefix.DEAD_JOB, skipped.id)}  {skipped.reason}")
    print(f"{done} {arguments.done}, {outcome.left} left")
    return 1 if outcome.left else 0


def run(work: Work) -> int:
    """With PostgreSQL and Redis as the settings name them."""
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


def _print_detail(shown: dict[str, Any]) -> None:
    traceback, lines = shown.pop("traceback"), shown.pop("log")
    for name, value in shown.items():
        print(f"{name:13} {_in_place(value)}")
    print("\nthe log of its run, the last lines" if lines else "\nno log: it is of no run, or its lines are gone")
    for line in lines:
        print(f"{line['at']}  {line['level']:7}  {_in_place(line['message'])}")
    print(f"\n{readable(traceback)}" if traceback else "\nno traceback: no code raised anything")


def _in_place(value: object) -> str:
    """A text of several lines stays beside its name, and looks like no other field."""
    return "-" if value is None else readable(str(value)).replace("\n", f"\n{'':14}")
