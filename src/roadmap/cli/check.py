"""`roadmap check`: the configuration without its secrets, what answers, and what would better be otherwise."""

import asyncio
from argparse import Namespace
from collections.abc import Awaitable
from typing import Any, TypeAlias

from pydantic import SecretStr

from roadmap import migrate as migrations
from roadmap.accounts.service import fault_of_first_operator
from roadmap.accounts.sessions import read_keys
from roadmap.database import Database, open_database
from roadmap.errors import Misconfigured, RoadmapError
from roadmap.heartbeat import count_alive
from roadmap.llm.client import Provider
from roadmap.llm.dialect import DialectRefused
from roadmap.llm.model import Message, Request
from roadmap.provider import open_model
from roadmap.queue.client import Queue, open_queue
from roadmap.redaction import Redactor
from roadmap.runtime import Process, check_budget, needed_connections, pool, require_servers
from roadmap.settings import Environment, Settings, read_settings

__all__ = ["check"]

QUEUES = (Process.CONTENT, Process.LOGS)
MODEL_SECONDS = 10.0
# What is asked by its name, and what is the matter with it; None: nothing.
Lines: TypeAlias = dict[str, str | None]


def check(arguments: Namespace) -> int:
    """1 when anything does not answer, is behind, or does not fit. What is merely advice changes nothing."""
    settings = read_settings()
    redactor = Redactor(settings.secrets())
    for name, value in settings:
        print(f"{name.upper():28} {redactor.text(_show(value))}")
    print(f"{'connections needed':28} {needed_connections(settings)}")
    lines = asyncio.run(_look(settings, asks_model=arguments.model))
    for name, fault in lines.items():
        print(f"{name:28} {redactor.text(fault or 'ok')}")
    return 1 if any(lines.values()) else 0


def _show(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else "not set"
    return str(value)


async def _look(settings: Settings, *, asks_model: bool) -> Lines:
    require_servers(settings)
    lines = _look_at_session_key(settings) | await _look_at_database(settings)
    async with open_queue(settings.redis_url.get_secret_value(), namespace=settings.redis_namespace) as queue:
        lines |= await _look_at_redis(queue)
        if asks_model:
            lines["model"] = await _look_at_model(settings, queue)
    return lines


def _look_at_session_key(settings: Settings) -> Lines:
    """Workers need none, and this may be asked where they run."""
    current, previous = settings.jwt_secret_key.get_secret_value(), settings.jwt_secret_key_previous.get_secret_value()
    if not current:
        _tell("session key", "not set: in production `web` does not start without JWT_SECRET_KEY; workers need none")
        return {}
    try:
        read_keys(current, previous, strict=settings.environment is Environment.PRODUCTION)
    except Misconfigured as exc:
        return {"session key": str(exc)}
    return {"session key": None}


async def _look_at_database(settings: Settings) -> Lines:
    try:
        async with asyncio.timeout(10), open_database(pool(settings, Process.LOGS)) as db:
            _tell("postgresql version", str(await db.fetchval(VERSION)))
            schema = await _fault(migrations.require_schema(db))
            return {
                "postgresql": None,
                "schema": schema,
                "connection budget": await _fault(check_budget(settings, db)),
                **({} if schema else await _look_at_tables(settings, db)),
            }
    except TimeoutError:
        return {"postgresql": "does not answer"}
    except RoadmapError as exc:
        return {"postgresql": str(exc)}


VERSION = """
SELECT current_setting('server_version')
"""


async def _look_at_tables(settings: Settings, db: Database) -> Lines:
    return await _look_at_first_operator(settings, db) | await _look_at_workers(db)


async def _look_at_first_operator(settings: Settings, db: Database) -> Lines:
    """What `web` would say at its start of ADMIN_EMAIL and ADMIN_PASSWORD, which it reads while there is none."""
    if not settings.admin_email:
        return {}
    password = settings.admin_password.get_secret_value()
    return {"first operator": await fault_of_first_operator(db, settings.admin_email, password)}


async def _look_at_workers(db: Database) -> Lines:
    """One that hibernates is there: it is woken when there is work."""
    try:
        alive = await count_alive(db)
    except RoadmapError as exc:
        return {"workers": str(exc)}
    return {f"worker on {name}": None if alive.get(name) else _no_worker(name) for name in QUEUES}


def _no_worker(name: Process) -> str:
    return f"none is alive: start `roadmap {name}`, or look at its log"


async def _look_at_redis(queue: Queue) -> Lines:
    if not await queue.ping():
        return {"redis": "does not answer"}
    if usage := await queue.usage():
        _tell("redis version", usage.version or "not told")
        _tell("redis maxmemory-policy", _advise_policy(usage.eviction_policy))
        _tell("redis appendonly", "yes" if usage.append_only else "no: after its restart work is late, not lost")
    for name in QUEUES:
        _tell(f"queue {name}", f"{await queue.depth(name)} waiting")
    return {"redis": None}


def _advise_policy(policy: str) -> str:
    if policy in {"noeviction", ""}:
        return policy or "not told"
    return f"{policy}: jobs may be dropped when it is full; set noeviction"


async def _look_at_model(settings: Settings, queue: Queue) -> str | None:
    """One cheap question. It costs as much as it says."""
    try:
        async with asyncio.timeout(MODEL_SECONDS), open_model(settings, queue) as provider:
            if settings.uses_offline_model:
                return None
            await _ask(provider)
    except TimeoutError:
        return f"does not answer within {MODEL_SECONDS:g} s"
    except RoadmapError as exc:
        return str(exc)
    return None


async def _ask(provider: Provider) -> None:
    """Whatever it answers will do. Raises what `complete` raises."""
    request = Request("check", (Message("user", "Say ok."),), max_tokens=200)
    async with provider.admit(request):
        try:
            await provider.complete(request)
        except DialectRefused as refused:
            await provider.complete(Request("check", request.messages, request.max_tokens, dialect=refused.weaker))


async def _fault(work: Awaitable[None]) -> str | None:
    try:
        await work
    except RoadmapError as exc:
        return str(exc)
    return None


def _tell(name: str, text: str) -> None:
    print(f"{name:28} {text}")
