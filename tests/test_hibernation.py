"""A content worker that sleeps while there is nothing to do: only its port stays open, and it wakes in time."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from stack import Child, api_client
from tcp_proxy import tcp_proxy
from waiting import eventually
from whole import Whole, check_queues, check_run, open_whole

from roadmap.database import Database
from roadmap.errors import Misconfigured
from roadmap.heartbeat import Process, Vitals, count_alive, forget_dead_processes, open_heartbeat
from roadmap.processes.hibernation import plan_hibernation
from roadmap.runs.waker import has_open_work
from roadmap.settings import Settings, read_settings
from roadmap.sleepers import list_sleepers

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"
CONTENT = "SELECT hibernating_since IS NOT NULL FROM workers WHERE process = 'content'"
IN_VAIN_FOR_A_DAY = "UPDATE workers SET asked_in_vain_since = now() - interval '25 hours' WHERE process = 'content'"
ESTABLISHED = "01"

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="open connections are read from /proc")


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url, HIBERNATE_AFTER="1", SHUTDOWN_GRACE="6") as opened:
        yield opened


async def launch_sleeper(whole: Whole, port: int, **environment: str) -> Child:
    address = f"http://127.0.0.1:{port}/wake"
    worker = await whole.stack.launch("content", PORT=str(port), WAKE_URL=address, **environment)
    await worker.says("worker_ready")
    return worker


async def sleeps(whole: Whole, worker: Child, times: int = 1) -> None:
    await eventually(lambda: len(worker.lines("hibernating")) >= times, f"it sleeps for the {times}. time")
    assert await whole.db.fetchval(CONTENT)


def connections(pid: int) -> int:
    """TCP connections that a process holds."""
    links = [link for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    inodes = {str(link.readlink()).removeprefix("socket:[").removesuffix("]") for link in links}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return sum(row[3] == ESTABLISHED and row[9] in inodes for row in rows)


async def test_asleep_it_holds_no_connection_and_work_wakes_it(whole: Whole, unused_tcp_port: int) -> None:
    worker = await launch_sleeper(whole, unused_tcp_port)
    await whole.stack.start("logs")
    await sleeps(whole, worker)
    await eventually(lambda: connections(worker.pid) == 0, "its connections are closed")
    assert await whole.db.fetchval(SESSIONS, "roadmap-content") == 0
    async with api_client(f"http://127.0.0.1:{unused_tcp_port}") as client:
        assert (await client.get("/health")).status_code == 200
        answer = await client.get("/ready")
    assert (answer.status_code, answer.json()["checks"]) == (200, {"process": "hibernating"})
    assert (await whole.api.get("/ready")).json()["checks"]["content"] == "ok"
    roadmap_id = await whole.create(size="small")
    began = time.monotonic()
    await eventually(lambda: is_claimed(whole.db), "the run is claimed")
    print(f"\nfrom the roadmap to its claim: {time.monotonic() - began:.2f} s")
    assert (await whole.finish(roadmap_id))["status"] == "succeeded"
    await check_run(whole.db, roadmap_id)
    await sleeps(whole, worker, times=2)
    await eventually(lambda: connections(worker.pid) == 0, "they are closed again")
    assert await whole.stack.terminate("content", within=8) == 0
    assert await whole.db.fetchval(CONTENT) is None
    assert "Traceback" not in worker.text()
    await check_queues(whole.redis)


async def is_claimed(db: Database) -> bool:
    claims: int = await db.fetchval("SELECT count(*) FROM runs WHERE claim > 0 OR claimed_by IS NOT NULL")
    return claims > 0


async def test_to_be_woken_again_and_again_is_to_be_woken(whole: Whole, unused_tcp_port: int) -> None:
    worker = await launch_sleeper(whole, unused_tcp_port)
    async with api_client(f"http://127.0.0.1:{unused_tcp_port}") as client:
        assert (await client.post("/wake")).status_code == 202  # awake: nothing to do
        await sleeps(whole, worker)
        answers = await asyncio.gather(*(client.post("/wake") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    await eventually(lambda: len(worker.lines("worker_ready")) == 2, "it is awake")
    await sleeps(whole, worker, times=2)
    assert len(worker.lines("waking")) == 1
    worker.signal(signal.SIGINT)
    assert await worker.exits(within=8) == 0


async def test_one_that_was_killed_in_its_sleep_is_asked_in_vain_and_forgotten(
    whole: Whole, unused_tcp_port: int
) -> None:
    await sleeps(whole, await launch_sleeper(whole, unused_tcp_port))
    await whole.stack.kill("content")
    await whole.stack.start("logs")
    await whole.create(size="small")
    await whole.stack["logs"].says("worker_not_woken")
    assert await whole.db.fetchval("SELECT asked_in_vain_since FROM workers WHERE process = 'content'")
    await whole.db.execute(
        "UPDATE workers SET asked_in_vain_since = now() - interval '25 hours' WHERE process = 'content'"
    )
    await eventually(lambda: is_gone(whole.db), "its row is forgotten")


async def is_gone(db: Database) -> bool:
    return await db.fetchval(CONTENT) is None


async def test_postgresql_away_when_it_wakes_is_waited_for(whole: Whole, unused_tcp_port: int) -> None:
    parts = urlsplit(whole.database_url)
    async with tcp_proxy(str(parts.hostname), int(parts.port or 5432)) as proxy:
        worker = await launch_sleeper(whole, unused_tcp_port, DATABASE_URL=proxy.through(whole.database_url))
        await sleeps(whole, worker)
        proxy.refuse()
        async with api_client(f"http://127.0.0.1:{unused_tcp_port}") as client:
            await client.post("/wake")
            await worker.says("database_away")
            assert (await client.get("/ready")).json()["checks"] == {"process": "starting"}
            proxy.calm()
            await eventually(lambda: len(worker.lines("worker_ready")) == 2, "it is awake")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PORT": ""}, "nobody could wake it"),
        ({"WAKE_URL": ""}, "nobody could wake it"),
        ({"WAKE_URL": "redis://somewhere/wake"}, "WAKE_URL: must start with http://"),
        ({"WAKE_URL": "http://me:secret@somewhere/wake"}, "WAKE_URL: must name a host, and no user"),
        ({"HIBERNATE_AFTER": "0.5"}, "HIBERNATE_AFTER: must be 0 or at least 1"),
    ],
)
def test_hibernation_that_nobody_could_end_is_refused(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = {"HIBERNATE_AFTER": "60", "PORT": "8000", "WAKE_URL": "http://content:8000/wake"}
    for name, value in {**fine, **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured, match=words) as refused:
        plan_hibernation(read_settings(), [Process.CONTENT], asyncio.Event())
    assert "secret" not in str(refused.value)


def test_only_a_content_worker_alone_hibernates() -> None:
    chosen = Settings(hibernate_after=60, port=8000, wake_url="http://content:8000/wake")
    plan = plan_hibernation(chosen, [Process.CONTENT], asyncio.Event())
    assert plan is not None
    assert (plan.after, plan.wake_url) == (60, "http://content:8000/wake")
    for names in ([Process.LOGS], [Process.WEB], list(Process)):
        assert plan_hibernation(chosen, names, asyncio.Event()) is None
    assert plan_hibernation(Settings(), [Process.CONTENT], asyncio.Event()) is None


async def test_work_is_open_when_it_may_be_done(whole: Whole) -> None:
    assert not await has_open_work(whole.db, 3600)
    await whole.create()
    assert await has_open_work(whole.db)
    await whole.db.execute("UPDATE runs SET not_before = now() + interval '30 seconds'")
    assert not await has_open_work(whole.db, 10)
    assert await has_open_work(whole.db, 60)


async def test_sleepers_are_listed_and_counted_while_nobody_is_awake(database: Database) -> None:
    async with open_heartbeat(database, "content-1", Process.CONTENT, lambda: Vitals(0)) as heartbeat:
        heartbeat.wake_url = "http://content/wake"
        assert await list_sleepers(database) == []
    assert heartbeat.hibernates
    await database.execute("UPDATE workers SET seen_at = now() - interval '2 days'")
    await forget_dead_processes(database)
    assert await list_sleepers(database) == ["http://content/wake"]
    assert await count_alive(database) == {Process.CONTENT: 1}
    async with open_heartbeat(database, "content-2", Process.CONTENT, lambda: Vitals(0)):
        assert await list_sleepers(database) == []
    async with open_heartbeat(database, "content-1", Process.CONTENT, lambda: Vitals(0)):
        pass
    assert await database.fetchval("SELECT count(*) FROM workers") == 0
