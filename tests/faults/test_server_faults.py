"""Redis and PostgreSQL go away, come back, and come back empty: every accepted roadmap completes, the log is whole."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from waiting import eventually
from whole import check_log, check_queues, check_run, offline, open_whole

from roadmap.embedded.postgres import PostgresServer
from roadmap.embedded.redis import RedisServer
from roadmap.migrate import migrate

SLOWLY = {"CONTENT_CONCURRENCY": "5"}


@pytest.fixture
async def own_redis(servers_folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[RedisServer]:
    server = RedisServer(servers_folder / f"redis-{request.node.name[-40:]}", durable=False)
    await server.start()
    yield server
    await server.stop()


async def test_redis_emptied_in_mid_run_loses_neither_the_run_nor_its_log(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    async with open_whole(tmp_path, database_url, redis_url, **SLOWLY) as whole:
        whole.model.default = offline(0.1)
        await whole.stack.start("content", "logs")
        roadmap_id = await whole.create()
        for count in (6, 15):
            await whole.ready(count)
            await whole.redis.flushdb()
        await whole.finish(roadmap_id, within=30)
        await check_run(whole.db, roadmap_id)
        await check_log(whole.db, roadmap_id, within=20)
        await check_queues(whole.redis)


@pytest.mark.slow
async def test_redis_killed_and_started_empty_in_mid_run_needs_no_restart_of_ours(
    tmp_path: Path, database_url: str, own_redis: RedisServer
) -> None:
    async with open_whole(tmp_path, database_url, own_redis.url, **SLOWLY) as whole:
        whole.model.default = offline(0.1)
        await whole.stack.start("content", "logs")
        roadmap_id = await whole.create()
        await whole.ready(10)
        await _kill(own_redis)
        await own_redis.start()
        await whole.hurry()
        await whole.finish(roadmap_id, within=30)
        await check_run(whole.db, roadmap_id)
        await check_log(whole.db, roadmap_id, within=20)


async def test_a_roadmap_accepted_while_redis_is_away_is_made_when_it_is_back(
    tmp_path: Path, database_url: str, own_redis: RedisServer
) -> None:
    async with open_whole(tmp_path, database_url, own_redis.url) as whole:
        await whole.stack.start("content", "logs")
        await _kill(own_redis)
        roadmap_id = await whole.create()
        assert (await whole.api.get(f"/v1/roadmaps/{roadmap_id}")).json()["status"] == "queued"
        await own_redis.start()
        await whole.hurry()
        await whole.finish(roadmap_id, within=25)
        await check_run(whole.db, roadmap_id)
        await check_log(whole.db, roadmap_id, within=20)


async def test_postgresql_stopped_at_once_and_started_again_in_mid_run_heals_without_restarts(
    tmp_path: Path, servers_folder: Path, redis_url: str
) -> None:
    postgres = PostgresServer(servers_folder / "own-postgres", durable=True)
    await postgres.start()
    try:
        await migrate(postgres.url)
        async with open_whole(tmp_path, postgres.url, redis_url, **SLOWLY) as whole:
            whole.model.default = offline(0.2)
            await whole.stack.start("content", "logs")
            roadmap_id = await whole.create()
            await whole.ready(9)
            pids = [whole.stack[name].pid for name in ("content", "logs")]
            await postgres.stop("immediate")
            # Long enough for every lease to run out: nobody died, so nobody may be counted as dead.
            await eventually(lambda: len(whole.stack["content"].lines("chore_failed")) >= 2, "sweeps fail")
            await postgres.start()
            await whole.finish(roadmap_id, within=30)
            pieces = await check_run(whole.db, roadmap_id)
            assert [whole.stack[name].pid for name in ("content", "logs")] == pids
            assert {(piece["failures"], piece["crashes"]) for piece in pieces} == {(0, 0)}
            await check_log(whole.db, roadmap_id, within=20)
    finally:
        await postgres.stop("immediate")


async def _kill(server: RedisServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    await server.stop()
