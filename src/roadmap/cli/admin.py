"""`roadmap migrate`, `check` and `keys create`."""

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import SecretStr

from roadmap import migrate as migrations
from roadmap.accounts import keys
from roadmap.database import Database, open_database
from roadmap.errors import RoadmapError
from roadmap.heartbeat import count_alive
from roadmap.queue.client import Queue, open_queue
from roadmap.runtime import Process, check_budget, needed_connections, pool, require_database, require_servers
from roadmap.settings import Settings, read_settings

__all__ = ["check", "create_key", "migrate"]

QUEUES = (Process.CONTENT, Process.LOGS)


def migrate(arguments: Namespace) -> int:
    settings = read_settings()
    require_database(settings)
    url = settings.database_unpooled_url.get_secret_value() or settings.database_url.get_secret_value()
    return asyncio.run(_migrate(url, arguments))


async def _migrate(url: str, arguments: Namespace) -> int:
    if arguments.status:
        status = await migrations.status(url)
        for line in status.applied:
            print(f"applied  {line.name}  {line.applied_at:%Y-%m-%d %H:%M:%S}Z")
        for missing in status.pending:
            print(f"missing  {missing.name}")
        return 1 if status.pending else 0
    if arguments.dry_run:
        print(await migrations.dry_run(url) or "-- nothing to do")
        return 0
    for name in await migrations.migrate(url):
        print(f"applied {name}")
    return 0


def create_key(arguments: Namespace) -> int:
    return asyncio.run(_with_database(read_settings(), lambda db: _create_key(db, arguments)))


async def _create_key(db: Database, arguments: Namespace) -> int:
    key = await keys.create_key(db, arguments.email, arguments.name, arguments.days, operator=arguments.operator)
    print(key.secret)
    return 0


async def _with_database(settings: Settings, work: Callable[[Database], Awaitable[int]]) -> int:
    require_database(settings)
    async with open_database(pool(settings, Process.WEB)) as db:
        await migrations.require_schema(db)
        return await work(db)


def check(_arguments: Namespace) -> int:
    settings = read_settings()
    for name, value in settings:
        print(f"{name.upper():28} {_redact(value)}")
    print(f"{'connections needed':28} {needed_connections(settings)}")
    return asyncio.run(_check(settings))


def _redact(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else "not set"
    return str(value)


async def _check(settings: Settings) -> int:
    """1 when anything does not answer, is behind, or does not fit."""
    require_servers(settings)
    async with open_queue(settings.redis_url.get_secret_value(), namespace=settings.redis_namespace) as queue:
        lines = {**await _check_database(settings), "redis": None if await queue.ping() else "does not answer"}
        lines |= await _check_queues(queue)
    for name, fault in lines.items():
        print(f"{name:28} {fault or 'ok'}")
    return 1 if any(lines.values()) else 0


async def _check_database(settings: Settings) -> dict[str, str | None]:
    try:
        async with asyncio.timeout(10), open_database(pool(settings, Process.LOGS)) as db:
            schema = await _fault(migrations.require_schema(db))
            return {
                "postgresql": None,
                "schema": schema,
                "connection budget": await _fault(check_budget(settings, db)),
                **({} if schema else await _check_workers(db)),
            }
    except TimeoutError:
        return {"postgresql": "does not answer"}


async def _check_workers(db: Database) -> dict[str, str | None]:
    try:
        alive = await count_alive(db)
    except RoadmapError as exc:
        return {"workers": str(exc)}
    return {f"worker on {name}": None if alive.get(name) else "none is alive" for name in QUEUES}


async def _fault(work: Awaitable[None]) -> str | None:
    try:
        await work
    except RoadmapError as exc:
        return str(exc)
    return None


async def _check_queues(queue: Queue) -> dict[str, str | None]:
    return {
        f"queue {name} (waiting: {depth})": None for name in QUEUES if (depth := await queue.depth(name)) is not None
    }
