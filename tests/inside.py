"""The API inside the test's own process, and those who call it.

async with open_api(database_url, redis_url) as api:
    await api.alice.get("/v1/roadmaps")             # by ASGI
    async with serving(api.state) as url:           # on a real socket, for streams
        ...
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import uvicorn
from pooler import pooled
from pydantic import SecretStr
from stack import authorization
from waiting import eventually

from roadmap.accounts.keys import create_key
from roadmap.database import Database
from roadmap.embedded.servers import LocalServers
from roadmap.probes.readiness import Readiness
from roadmap.runtime import Process, open_runtime
from roadmap.settings import Settings
from roadmap.web.app import create_app
from roadmap.web.state import WebState, open_web

__all__ = ["Api", "in_process", "open_api", "own_database", "own_redis", "serving", "two_keys"]


@asynccontextmanager
async def own_database(
    servers: LocalServers, admin: asyncpg.Connection, template: str, name: str
) -> AsyncIterator[str]:
    """A migrated database for a whole module; where one test is enough there is the fixture `database_url`."""
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield pooled(servers.database_url.rpartition("/")[0] + f"/{name}")
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def own_redis(servers: LocalServers, number: int) -> str:
    """A Redis database for a whole module; the tests' own count from 1 and do not get beyond 1000."""
    return servers.redis_url.removesuffix("/0") + f"/{number}"


@dataclass(frozen=True, slots=True)
class Api:
    """The application inside this process, and three who call it. `keys` are those of Alice and Bob."""

    state: WebState
    db: Database
    keys: tuple[str, str]
    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    nobody: httpx.AsyncClient


@asynccontextmanager
async def open_api(database_url: str, redis_url: str, **settings: Any) -> AsyncIterator[Api]:
    """Nothing is drafted or written: there are no workers."""
    chosen = Settings(database_url=SecretStr(database_url), redis_url=SecretStr(redis_url), **settings)
    async with (
        open_runtime(chosen, Process.WEB) as runtime,
        open_web(runtime, Readiness(runtime.db, runtime.queue)) as state,
    ):
        db = state.runtime.db
        keys = await two_keys(db)
        async with in_process(state, keys[0]) as alice, in_process(state, keys[1]) as bob, in_process(state) as nobody:
            yield Api(state, db, keys, alice, bob, nobody)


@asynccontextmanager
async def in_process(state: WebState, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application itself, without a socket. It buffers: for streams there is `serving`."""
    app = create_app(state)

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"web": state, "hub": state.hub, "looks": state.looks}}, receive, send)

    transport = httpx.ASGITransport(with_state)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=authorization(key)) as client:
        yield client


async def two_keys(db: Database) -> tuple[str, str]:
    """The secrets of Alice and Bob."""
    alice = await create_key(db, "alice@example.org", "tests", None)
    bob = await create_key(db, "bob@example.org", "tests", None)
    return alice.secret, bob.secret


@asynccontextmanager
async def serving(state: WebState) -> AsyncIterator[str]:
    """Serves the application on a free port of this process; yields the URL."""
    config = uvicorn.Config(create_app(state), log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        task = asyncio.create_task(server._serve([listener]))  # serve() would take this process's signals
        try:
            await eventually(lambda: server.started, "uvicorn serves")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            state.hub.close()
            state.live.close()
            server.should_exit = True
            await task
