"""Alive, ready, degraded: what a host is told; and what callers are told while a server is away (P1, P2)."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from httpx_sse import aconnect_sse
from inside import Api, open_api, two_keys
from stack import Stack, api_client, finish, open_stack
from waiting import eventually

from roadmap.database import Database, Pool, open_database
from roadmap.embedded.servers import LocalServers, local_servers
from roadmap.migrate import migrate

GOAL = {"goal": "Learn SQL in six weeks", "size": "small", "kinds": ["tutorial"]}


@dataclass(frozen=True, slots=True)
class House:
    """A `web` process over servers that a test may stop, and must start again."""

    servers: LocalServers
    db: Database
    stack: Stack
    client: httpx.AsyncClient

    async def checks(self) -> dict[str, str]:
        checks: dict[str, str] = (await self.client.get("/ready")).json()["checks"]
        return checks

    async def becomes(self, **checks: str) -> None:
        """Waits until /ready says so, of these."""

        async def look() -> bool:
            return {name: check for name, check in (await self.checks()).items() if name in checks} == checks

        await eventually(look, f"/ready says {checks}")


@pytest.fixture(scope="module")
async def house(servers_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = servers_folder / "house"
    folder.mkdir(mode=0o755)
    async with local_servers(folder) as servers:  # durable: they are stopped in the midst of it
        await migrate(servers.database_url)
        async with (
            open_database(Pool(servers.database_url, 2, "tests")) as db,
            open_stack(tmp_path_factory.mktemp("house"), servers.database_url, servers.redis_url) as stack,
        ):
            key, _ = await two_keys(db)
            await stack.start("web")
            async with api_client(stack.web_url, key) as client:
                yield House(servers, db, stack, client)


@pytest.fixture
async def without_redis(house: House) -> AsyncIterator[House]:
    await house.servers.redis.stop()
    yield house
    await house.servers.redis.start()
    await house.becomes(postgresql="ok", redis="ok")


@pytest.fixture
async def without_postgres(house: House) -> AsyncIterator[House]:
    await house.servers.postgres.stop("immediate")
    yield house
    await house.servers.postgres.start()
    await house.becomes(postgresql="ok", redis="ok")


@pytest.fixture
async def without_both(house: House) -> AsyncIterator[House]:
    await house.servers.redis.stop()
    await house.servers.postgres.stop("immediate")
    yield house
    await house.servers.postgres.start()
    await house.servers.redis.start()
    await house.becomes(postgresql="ok", redis="ok")


async def test_all_is_well(house: House) -> None:
    answer = await house.client.get("/ready")
    assert answer.status_code == 200
    alone = dict.fromkeys(("content", "logs"), "degraded: no worker")
    assert answer.json() == {"status": "ready", "checks": {"postgresql": "ok", "redis": "ok", **alone}}


async def test_a_queue_without_a_worker_is_degraded_and_the_process_is_ready(house: House) -> None:
    await house.becomes(content="degraded: no worker", logs="degraded: no worker")
    await house.stack.start("content")
    await house.becomes(content="ok", logs="degraded: no worker")
    await house.stack.start("logs")
    await house.becomes(content="ok", logs="ok")
    await house.stack.kill("content")
    await house.db.execute("UPDATE workers SET seen_at = seen_at - interval '15 seconds' WHERE process = 'content'")
    await house.becomes(content="degraded: no worker", logs="ok")
    assert (await house.client.get("/ready")).status_code == 200
    assert await house.stack.terminate("logs") == 0
    await house.becomes(content="degraded: no worker", logs="degraded: no worker")


async def test_of_the_workers_nothing_is_known_without_postgresql(without_postgres: House) -> None:
    await without_postgres.becomes(postgresql="failed", content="unknown", logs="unknown")


async def test_without_redis_the_process_is_ready_and_degraded(without_redis: House) -> None:
    await without_redis.becomes(postgresql="ok", redis="degraded")
    answer = await without_redis.client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")


@pytest.mark.fault("F10")
async def test_without_redis_reads_and_writes_are_quick(without_redis: House) -> None:
    client = without_redis.client
    began = time.monotonic()
    created = await client.post("/v1/roadmaps", json=GOAL)
    assert created.status_code == 202
    assert time.monotonic() - began < 1
    assert (await client.get(created.json()["links"]["self"])).json()["status"] == "queued"
    canceled = await client.post(created.json()["links"]["cancel"])
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    assert time.monotonic() - began < 2


@pytest.mark.fault("F12")
async def test_a_redis_that_says_nothing_costs_less_than_a_second(house: House) -> None:
    os.kill(house.servers.redis.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        created = await house.client.post("/v1/roadmaps", json=GOAL)
        assert time.monotonic() - began < 1
    finally:
        os.kill(house.servers.redis.pid, signal.SIGCONT)
    assert created.status_code == 202
    await house.client.post(created.json()["links"]["cancel"])
    await house.becomes(postgresql="ok", redis="ok")


@pytest.mark.fault("F14")
async def test_without_postgresql_the_process_is_not_ready_and_lives(without_postgres: House) -> None:
    await without_postgres.becomes(postgresql="failed", redis="ok")
    ready, health = [await without_postgres.client.get(path) for path in ("/ready", "/health")]
    assert (ready.status_code, ready.json()["status"]) == (503, "unready")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})


@pytest.mark.fault("F14")
async def test_without_postgresql_callers_are_told_when_to_come_back(without_postgres: House) -> None:
    client = without_postgres.client
    began = time.monotonic()
    answers = [await client.post("/v1/roadmaps", json=GOAL), await client.get("/v1/roadmaps")]
    assert time.monotonic() - began < 4.5
    for answer in answers:
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["retryable"]) == (503, "unavailable", True)
        assert int(answer.headers["retry-after"]) >= 1
        assert "postgres" not in answer.text.lower()


async def test_health_asks_nobody(without_both: House) -> None:
    began = time.monotonic()
    for _ in range(20):
        assert (await without_both.client.get("/health")).status_code == 200
    assert time.monotonic() - began < 1
    await without_both.becomes(postgresql="failed", redis="degraded")


@pytest.mark.fault("F10")
async def test_what_was_accepted_without_redis_is_done_when_it_is_back(house: House) -> None:
    """P2. The enqueue is lost; the row is not, and a worker's sweeper finds it."""
    await house.servers.redis.stop()
    created = (await house.client.post("/v1/roadmaps", json=GOAL)).json()
    await house.servers.redis.start()
    # A sweep after ten seconds, without the seconds.
    await house.db.execute("UPDATE runs SET due_at = now() WHERE status = 'queued'")
    await house.stack.start("content", LOG_LEVEL="info")
    roadmap = await finish(house.client, created["id"])
    assert roadmap["status"] == "succeeded"
    assert house.stack["content"].lines("swept")
    await house.stack.kill("content")


@pytest.mark.fault("F14")
async def test_a_stream_outlives_a_restart_of_both_servers(house: House) -> None:
    """P7. What happens meanwhile is told afterwards."""
    links = (await house.client.post("/v1/roadmaps", json=GOAL)).json()["links"]
    async with aconnect_sse(house.client, "GET", links["events"]) as source:
        frames = (frame async for frame in source.aiter_sse() if frame.data)
        assert (await anext(frames)).event == "run.queued"
        await house.servers.redis.stop()
        await house.servers.postgres.stop("immediate")
        await house.servers.postgres.start()
        await house.becomes(postgresql="ok", redis="degraded")
        assert (await house.client.post(links["cancel"])).status_code == 200
        async with asyncio.timeout(5):
            assert [frame.event async for frame in frames] == ["run.canceled"]
    await house.servers.redis.start()
    await house.becomes(postgresql="ok", redis="ok")


async def test_a_process_that_stops_is_not_ready_any_more(api: Api) -> None:
    assert (await api.nobody.get("/ready")).status_code == 200
    api.state.readiness.draining = True
    answer = await api.nobody.get("/ready")
    api.state.readiness.draining = False
    assert answer.status_code == 503
    assert answer.json()["checks"]["process"] == "draining"


@pytest.mark.fault("F17")
async def test_while_every_connection_is_taken_callers_are_sent_away_in_time(database_url: str, redis_url: str) -> None:
    async with open_api(database_url, redis_url, db_pool_web=1) as api, asyncio.TaskGroup() as group:
        group.create_task(api.db.execute("SELECT pg_sleep(4.5)"))
        await eventually(lambda: api.db.usage() == (1, 1), "the only connection is taken")
        began = time.monotonic()
        answers = await asyncio.gather(*(api.alice.get("/v1/roadmaps") for _ in range(20)))
        assert time.monotonic() - began < 6
        assert {answer.status_code for answer in answers} == {503}
        assert all("retry-after" in answer.headers for answer in answers)


async def test_a_schema_that_is_behind_is_named(database_url: str, redis_url: str) -> None:
    async with open_api(database_url, redis_url) as api:
        await api.db.execute(
            "DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)"
        )
        answer = await api.nobody.get("/ready")
    assert answer.status_code == 503
    assert "roadmap migrate" in answer.json()["checks"]["postgresql"]


@pytest.mark.fault("F6")
async def test_a_signal_while_web_waits_for_postgresql_ends_it_with_0(tmp_path: Path, redis_url: str) -> None:
    async with open_stack(tmp_path, "postgresql://roadmap@127.0.0.1:1/roadmap", redis_url) as stack:
        web = await stack.launch("web")
        await web.says("database_away")
        assert await stack.terminate("web", within=5) == 0
