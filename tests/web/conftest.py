"""One finished roadmap of Alice, made by the whole stack once, and a `web` process that serves it."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from inside import Api, open_api, own_database, own_redis, two_keys
from pooler import direct
from stack import api_client, finish, open_stack
from world import World

from roadmap.accounts.keys import create_key
from roadmap.database import Database, Pool, open_database
from roadmap.dead_jobs.service import bury_unexecuted
from roadmap.embedded.servers import LocalServers
from roadmap.ids import Prefix, show_id
from roadmap.queue.model import Unexecuted


@pytest.fixture(scope="session")
async def world(
    servers: LocalServers, admin: asyncpg.Connection, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("web")
    redis_url = own_redis(servers, 1001)
    async with (
        own_database(servers, admin, template, "web_world") as database_url,
        open_stack(folder, database_url, redis_url) as stack,
    ):
        async with open_database(Pool(direct(database_url), 1, "tests")) as db:
            keys = await two_keys(db)
            third = (await create_key(db, "carol@example.org", "tests", None)).secret
            operators = (await create_key(db, "olga@example.org", "tests", None, operator=True)).secret
            dead_job_id = await _bury(db)
        await stack.start("web", "content", "logs")
        async with (
            api_client(stack.web_url, keys[0]) as alice,
            api_client(stack.web_url, keys[1]) as bob,
            api_client(stack.web_url, third) as carol,
            api_client(stack.web_url, operators) as operator,
            api_client(stack.web_url) as nobody,
        ):
            roadmap = await _make_roadmap(alice)
            # Nothing is left to do: the machine is free for the tests.
            assert [await stack.terminate("content"), await stack.terminate("logs")] == [0, 0]
            callers = (alice, bob, carol, operator, nobody)
            unfinished, abandoned = [await _cancel_another(alice) for _ in range(2)]
            yield World(stack, database_url, redis_url, keys, *callers, roadmap, unfinished, abandoned, dead_job_id)
        assert stack["web"].lines("request_failed") == []  # whatever the tests of this folder sent


async def _make_roadmap(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post("/v1/roadmaps", json={"goal": "Learn SQL in six weeks", "size": "small"})
    assert answer.status_code == 202, answer.text
    roadmap = await finish(client, answer.json()["id"])
    assert roadmap["status"] == "succeeded"
    return roadmap


async def _cancel_another(client: httpx.AsyncClient) -> str:
    created = (await client.post("/v1/roadmaps", json={"goal": "Learn to stop"})).json()
    assert (await client.post(f"/v1/runs/{created['run']['id']}/cancel")).status_code == 200
    return str(created["id"])


async def _bury(db: Database) -> str:
    """A job that nobody could execute; its id."""
    await bury_unexecuted(db, "content", Unexecuted("j1", "unheard_of", "unknown_function"))
    return show_id(Prefix.DEAD_JOB, await db.fetchval("SELECT id FROM dead_jobs"))


@pytest.fixture(scope="module")
async def api(servers: LocalServers, admin: asyncpg.Connection, template: str) -> AsyncIterator[Api]:
    """The application in this process, for a module of tests."""
    async with (
        own_database(servers, admin, template, "web_api") as database_url,
        open_api(database_url, own_redis(servers, 1002)) as opened,
    ):
        yield opened
