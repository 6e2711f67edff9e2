"""How processes are made: any set of roles, one runtime, one port, one owner of the signals."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from arq.worker import func
from pooler import is_pooled
from stack import PROGRAM, Child, Stack, api_client, finish, open_stack
from waiting import eventually

from roadmap.database import Database
from roadmap.errors import Misconfigured, Stalled
from roadmap.heartbeat import Process
from roadmap.probes.readiness import Readiness
from roadmap.processes.house import House, Role
from roadmap.processes.serving import _serve_together
from roadmap.processes.worker import role_of
from roadmap.queue.model import Job
from roadmap.runtime import POOL_LIMITS, Runtime, needed_connections, open_runtime, pool, title
from roadmap.settings import Settings
from roadmap.signals import Stop
from roadmap.watchdog import open_watchdog
from workers import logs

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"
ROLES = "SELECT array_agg(process ORDER BY process) AS roles, count(DISTINCT pid) AS pids FROM workers"


@pytest.fixture
async def stack(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path, database_url, redis_url, AUTH_MODE="none", SHUTDOWN_GRACE="8") as opened:
        yield opened


async def launch(stack: Stack, *words: str, **environment: str) -> Child:
    return await stack.launch(words[0], command=(str(PROGRAM), *words), **environment)


@asynccontextmanager
async def asked(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with api_client(f"http://127.0.0.1:{port}") as client:
        yield client


async def roles_of(database: Database) -> tuple[list[str], int]:
    row = await database.fetchrow(ROLES)
    assert row
    return row["roles"] or [], row["pids"]


async def run(*words: str, **environment: str) -> tuple[int, str]:
    """A command's exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_one_process_serves_everything_and_ends_in_order(stack: Stack, database: Database) -> None:
    process = await launch(stack, "all")
    port = (await process.says("web_ready"))["port"]
    await eventually(lambda: len(process.lines("worker_ready")) == 2, "both queues are served")
    async with asked(port) as client:
        await eventually(lambda: is_ready(client, "content", "logs", "polling"), "all is well")
        created = await client.post("/v1/roadmaps", json={"goal": "Learn SQL in two weeks", "size": "small"})
        assert (await finish(client, created.json()["id"]))["status"] == "succeeded"
    assert await roles_of(database) == (["content", "logs", "web"], 1)
    if not is_pooled(process.environment["DATABASE_URL"]):
        assert 1 <= await database.fetchval(SESSIONS, "roadmap-all") <= 11
    for _ in range(3):
        process.signal(signal.SIGTERM)
        await asyncio.sleep(0.1)  # into different moments of the shutdown
    assert await process.exits(within=10) == 0
    assert "Traceback" not in process.text()
    assert await roles_of(database) == ([], 0)


@pytest.mark.parametrize(
    ("words", "variables"), [(("web", "--with-logs"), {}), (("start",), {"SERVICE_TYPE": "web-logs"})]
)
async def test_the_api_may_take_the_logs_worker_in(
    stack: Stack, database: Database, words: tuple[str, ...], variables: dict[str, str]
) -> None:
    process = await launch(stack, *words, **variables)
    port = (await process.says("web_ready"))["port"]
    assert (await process.says("worker_ready"))["queue"] == "logs"
    async with asked(port) as client:
        await eventually(lambda: is_ready(client, "logs", "polling"), "the logs worker is counted")
        checks = (await client.get("/ready")).json()["checks"]
    assert checks["content"] == "degraded: no worker"
    assert await roles_of(database) == (["logs", "web"], 1)
    assert await stack.terminate(words[0]) == 0


async def is_ready(client: httpx.AsyncClient, *checks: str) -> bool:
    answer = await client.get("/ready")
    return answer.status_code == 200 and all(answer.json()["checks"][name] == "ok" for name in checks)


async def test_a_worker_answers_on_its_port_from_its_start_to_its_end(stack: Stack, redis_url: str) -> None:
    worker = await launch(stack, "logs", SHUTDOWN_GRACE="5")
    port = (await worker.says("listening"))["port"]
    async with asked(port) as client:
        assert (await client.get("/health")).status_code == 200
        assert (await worker.says("worker_ready"))["port"] == port
        await eventually(lambda: is_ready(client, "postgresql", "redis", "polling"), "it is ready")
        assert (await client.post("/wake")).status_code == 404  # it never sleeps
        assert (await client.get("/v1/roadmaps")).status_code == 404
    assert await run("health", PORT=str(port)) == (0, "")
    assert await stack.terminate("logs") == 0
    code, said = await run("health", PORT=str(port))
    assert (code, said) == (1, f"roadmap: no answer on port {port} (ConnectionRefusedError)\n")


async def test_a_worker_that_waits_for_postgresql_lives_and_is_not_ready(tmp_path: Path) -> None:
    async with open_stack(tmp_path, "postgresql://roadmap@127.0.0.1:1/x", "redis://127.0.0.1:1") as stack:
        worker = await launch(stack, "content")
        port = (await worker.says("listening"))["port"]
        await worker.says("database_away")
        async with asked(port) as client:
            assert (await client.get("/health")).json() == {"status": "ok"}
            answer = await client.get("/ready")
        assert (answer.status_code, answer.json()["checks"]) == (503, {"process": "starting"})
        assert await stack.terminate("content", within=5) == 0
        assert "Traceback" not in worker.text()


async def test_a_worker_without_redis_is_not_ready(tmp_path: Path, database_url: str) -> None:
    async with open_stack(tmp_path, database_url, "redis://127.0.0.1:1") as stack:
        worker = await launch(stack, "logs")
        port = (await worker.says("listening"))["port"]
        await worker.says("redis_away")
        async with asked(port) as client:
            answer = await client.get("/ready")
        assert answer.status_code == 503
        assert answer.json()["checks"] | {"redis": "failed", "polling": "failed: logs"} == answer.json()["checks"]
        assert answer.json()["checks"]["postgresql"] == "ok"


async def test_without_a_port_a_worker_listens_nowhere_and_a_taken_one_is_refused(stack: Stack) -> None:
    silent = await launch(stack, "logs", PORT="")
    assert "port" not in await silent.says("worker_ready")
    assert silent.lines("listening") == []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = await launch(stack, "content", PORT=str(port))
        assert await refused.exits() == 2
    assert f"cannot listen on port {port}" in refused.text()


async def test_a_role_that_cannot_start_ends_the_others_and_decides_the_exit_code(
    stack: Stack, database: Database
) -> None:
    process = await launch(stack, "all", LLM_PROVIDER="http")
    assert await process.exits() == 2
    assert "LLM_PROVIDER=http needs LLM_BASE_URL" in process.text()
    assert "Traceback" not in process.text()
    assert await roles_of(database) == ([], 0)


async def test_each_type_starts_with_its_own_variables_alone(tmp_path: Path, database_url: str, redis_url: str) -> None:
    """In production, by the names that hosts give: only `web` signs sessions, only `content` asks a model."""
    model = {"LLM_BASE_URL": "http://127.0.0.1:1/v1"}
    sessions = {"JWT_SECRET_KEY": "b5yqkBaq2TzV0pPLcwDnT1nbIVkPXJ5XxFv7Hk3mQdE="}
    own = {"api": sessions, "logs": {}, "celery_content": model}
    async with open_stack(tmp_path, database_url, redis_url, ENVIRONMENT="production") as stack:
        for name, variables in own.items():
            await launch(stack, "start", SERVICE_TYPE=name, **variables)
        for child in stack.everyone:
            name = child.environment["SERVICE_TYPE"]
            await child.says("web_ready" if name == "api" else "worker_ready")
            assert ("is an old name of" in child.text()) == name.startswith("celery")
        without_model = await launch(stack, "start", SERVICE_TYPE="content")
        without_key = await launch(stack, "start", SERVICE_TYPE="api")
        assert [await child.exits() for child in (without_model, without_key)] == [2, 2]
        assert "LLM_PROVIDER=offline" in without_model.text()
        assert "JWT_SECRET_KEY" in without_key.text()


async def test_web_concurrency_is_refused_where_the_api_is_served() -> None:
    for words in (["web"], ["start"]):
        code, said = await run(*words, WEB_CONCURRENCY="4", SERVICE_TYPE="all")
        assert code == 2
        assert "add replicas" in said


def settings(**more: Any) -> Settings:
    return Settings(**more)


def test_a_merged_process_has_one_pool_for_all_of_its_roles() -> None:
    merged = pool(settings(), *Process)
    assert (merged.size, merged.name, merged.statement_timeout) == (11, "roadmap-all", 15)
    assert pool(settings(), Process.WEB, Process.LOGS).name == "roadmap-web-logs"
    assert pool(settings(), Process.WEB).statement_timeout == POOL_LIMITS["roadmap-web"] == 5
    assert {"roadmap-web", "roadmap-content", "roadmap-logs", "roadmap-web-logs", "roadmap-all"} <= set(POOL_LIMITS)
    assert title([Process.LOGS, Process.WEB]) == "web-logs"


def test_the_budget_counts_merged_processes() -> None:
    reserve = 3
    assert needed_connections(settings(), tuple(Process)) == needed_connections(settings()) == 11 + reserve
    alone = settings(replicas_content=0, replicas_logs=0)
    assert needed_connections(alone, tuple(Process)) == 11 + reserve
    two = settings(replicas_web=2)
    assert needed_connections(two, (Process.WEB, Process.LOGS)) == 2 * (5 + 2) + 4 + reserve
    assert needed_connections(two, (Process.CONTENT,)) == 2 * 5 + 4 + 2 + reserve


class Played:
    """A role of a test: ends when it is told, or when it was asked to and `linger` is over."""

    def __init__(self, error: Exception | None = None, linger: float = 0.0) -> None:
        self.begun, self.told, self.over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.asked = 0
        self._error = error
        self._linger = linger

    async def serve(self, _house: House, stop: Stop) -> None:
        stop.by(self._ask)
        self.begun.set()
        await self.told.wait()
        await asyncio.sleep(self._linger)
        self.over.set()
        if self._error:
            raise self._error

    def _ask(self) -> None:
        self.asked += 1
        self.told.set()


@asynccontextmanager
async def house(database_url: str, redis_url: str, **more: Any) -> AsyncIterator[House]:
    chosen = Settings.model_validate({"database_url": database_url, "redis_url": redis_url, **more})
    async with open_watchdog(0) as watchdog, open_runtime(chosen, *Process) as runtime:
        yield House(runtime, watchdog, Readiness(runtime.db, runtime.queue, tuple(Process)), None)


async def test_roles_end_in_order_when_one_of_them_fails(database_url: str, redis_url: str) -> None:
    slow, failing, late = Played(linger=0.3), Played(Stalled("no look")), Played(Misconfigured("too late"), linger=0.2)
    parts = [Role(name, part.serve) for name, part in zip(Process, (slow, failing, late), strict=True)]
    async with house(database_url, redis_url) as shared, asyncio.TaskGroup() as group:
        serving = group.create_task(_outcome(_serve_together(parts, shared, Stop())))
        await failing.begun.wait()
        failing.told.set()
        assert isinstance(await serving, Stalled)
    assert slow.over.is_set()
    assert late.over.is_set()
    assert (slow.asked, late.asked) == (1, 1)


async def test_every_role_hears_every_signal_and_the_first_to_end_asks_nobody_again(
    database_url: str, redis_url: str
) -> None:
    quick, slow = Played(), Played(linger=0.3)
    parts = [Role(Process.LOGS, quick.serve), Role(Process.CONTENT, slow.serve)]
    stop = Stop()
    async with house(database_url, redis_url) as shared, asyncio.TaskGroup() as group:
        serving = group.create_task(_outcome(_serve_together(parts, shared, stop)))
        await slow.begun.wait()
        stop()
        await quick.over.wait()
        stop()
        assert await serving is None
    assert slow.asked == 2
    assert quick.asked == 2


async def test_the_logs_worker_takes_many_jobs_at_once_whatever_is_said_of_the_content_worker(
    database_url: str, redis_url: str
) -> None:
    together, over = asyncio.Barrier(3), asyncio.Event()

    async def wait_for_others(_ctx: dict[str, Any]) -> None:
        async with asyncio.timeout(20):
            await together.wait()
        over.set()

    @asynccontextmanager
    async def no_tools(_runtime: Runtime) -> AsyncIterator[dict[str, Any]]:
        yield {}

    work = replace(logs.WORK, functions=[func(wait_for_others, name="wait_for_others")], open_tools=no_tools)
    async with house(database_url, redis_url, content_concurrency=1) as shared, asyncio.TaskGroup() as group:
        stop = Stop()
        serving = group.create_task(role_of(work).serve(shared, stop))
        await shared.runtime.queue.offer("logs", [Job("wait_for_others", f"job-{number}") for number in range(3)])
        await asyncio.wait_for(over.wait(), 30)
        await eventually(lambda: shared.readiness.polls, "it has looked at its queue")
        stop()
        await serving


async def _outcome(work: Any) -> Exception | None:
    try:
        await work
    except (Stalled, Misconfigured) as exc:
        return exc
    return None
