"""A content worker that sleeps while there is nothing to do: only its port stays open, and it wakes in time."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families
from stack import Child, api_client
from tcp_proxy import tcp_proxy
from waiting import eventually
from whole import Whole, check_queues, check_run, offline, open_whole

from roadmap.database import Database
from roadmap.errors import Misconfigured
from roadmap.figures.service_state import read_service_state
from roadmap.heartbeat import Process, Vitals, count_alive, forget_dead_processes, open_heartbeat
from roadmap.monitor.model import WorkerState
from roadmap.monitor.store.processes import list_workers
from roadmap.processes.hibernation import plan_hibernation
from roadmap.runs.waker import has_open_work
from roadmap.settings import Settings, read_settings
from roadmap.sleepers import forget_predecessors, list_sleepers, note_answer

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
    jobs = await jobs_told(unused_tcp_port)
    assert await whole.stack.terminate("content", within=8) == 0
    assert "Traceback" not in worker.text()
    await check_queues(whole.redis)
    assert jobs > 1


async def jobs_told(port: int) -> float:
    """Jobs that have ended in the process, as it tells when it is awake after its second sleep."""
    async with api_client(f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/metrics")).status_code == 503

        async def tell() -> str:
            await client.post("/wake")
            answer = await client.get("/metrics")
            return answer.text if answer.status_code == 200 else ""

        told = text_string_to_metric_families(await eventually(tell, "it is awake"))
    return sum(sample.value for metric in told for sample in metric.samples if sample.name == "roadmap_jobs_total")


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


async def test_to_be_stopped_in_its_sleep_leaves_a_row_that_its_next_start_replaces(
    whole: Whole, unused_tcp_port: int
) -> None:
    sleeper = await launch_sleeper(whole, unused_tcp_port)
    await sleeps(whole, sleeper)
    address = f"http://127.0.0.1:{unused_tcp_port}/wake"
    for _ in range(3):
        sleeper.signal(signal.SIGTERM)
        await asyncio.sleep(0.02)  # into different moments of its end
    assert await sleeper.exits(within=8) == 0
    assert sleeper.lines("waking") == []
    assert "Traceback" not in sleeper.text()
    assert await list_sleepers(whole.db) == [address]
    [before] = await names(whole.db)
    await sleeps(whole, await launch_sleeper(whole, unused_tcp_port))
    [after] = await names(whole.db)
    assert after != before
    assert await list_sleepers(whole.db) == [address]


async def names(db: Database) -> list[str]:
    return [row["name"] for row in await db.fetch("SELECT name FROM workers WHERE process = 'content'")]


async def test_stopped_while_it_is_awake_it_takes_its_row_away_however_often_it_slept(
    whole: Whole, unused_tcp_port: int
) -> None:
    whole.model.default = offline(latency=2.0)  # it works, and cannot fall asleep meanwhile
    worker = await launch_sleeper(whole, unused_tcp_port)
    await sleeps(whole, worker)
    await whole.create(size="small")
    async with api_client(f"http://127.0.0.1:{unused_tcp_port}") as client:
        await client.post("/wake")
    await eventually(lambda: is_claimed(whole.db), "the run is claimed")
    assert await whole.stack.terminate("content", within=10) == 0
    assert len(worker.lines("hibernating")) == 1
    assert await names(whole.db) == []


NEVER_ASLEEP = """
CREATE FUNCTION never_asleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER never_asleep BEFORE UPDATE ON workers FOR EACH ROW WHEN (NEW.hibernating_since IS NOT NULL)
EXECUTE FUNCTION never_asleep();
"""


async def test_one_that_cannot_say_that_it_sleeps_stays_awake(whole: Whole, unused_tcp_port: int) -> None:
    await whole.db.execute(NEVER_ASLEEP)
    worker = await launch_sleeper(whole, unused_tcp_port)
    await eventually(lambda: len(worker.lines("worker_ready")) > 1, "it is awake again")
    assert worker.lines("hibernating") == []
    await whole.db.execute("DROP TRIGGER never_asleep ON workers")
    await sleeps(whole, worker)


async def test_one_that_was_killed_in_its_sleep_is_asked_in_vain_and_forgotten(
    whole: Whole, unused_tcp_port: int
) -> None:
    await sleeps(whole, await launch_sleeper(whole, unused_tcp_port))
    await whole.stack.kill("content")
    await whole.stack.start("logs")
    await whole.create(size="small")
    await whole.stack["logs"].says("worker_not_woken")
    await eventually(lambda: is_missed(whole), "nobody counts it any more")
    await whole.db.execute(IN_VAIN_FOR_A_DAY)
    await eventually(lambda: is_gone(whole.db), "its row is forgotten")


async def is_missed(whole: Whole) -> bool:
    return (await whole.api.get("/ready")).json()["checks"]["content"] == "degraded: no worker"


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
        ({"WAKE_URL": "http://content:8000"}, "WAKE_URL names no path"),
        ({"WAKE_URL": "http://content:8000/"}, "WAKE_URL names no path"),
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
        plan_hibernation(read_settings(), [Process.CONTENT])
    assert "secret" not in str(refused.value)


def test_only_a_content_worker_alone_hibernates() -> None:
    chosen = Settings(hibernate_after=60, port=8000, wake_url="http://content:8000/wake")
    plan = plan_hibernation(chosen, [Process.CONTENT])
    assert plan is not None
    assert (plan.after, plan.wake_url) == (60, "http://content:8000/wake")
    for names in ([Process.LOGS], [Process.WEB], list(Process)):
        assert plan_hibernation(chosen, names) is None
    assert plan_hibernation(Settings(), [Process.CONTENT]) is None


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


ASLEEP = """
INSERT INTO workers (name, process, host, pid, version, started_at, seen_at, running, loop_lag_ms, memory_bytes,
                     connections, connections_used, hibernating_since, wake_url)
SELECT $1, 'content', $2, 7, '0', at, at, 0, 0, 0, 0, 0, at, $3 FROM (SELECT now() - $4::interval AS at) AS times
"""
ADDRESS = "http://content/wake"


async def test_a_sleeper_counts_as_dead_from_when_it_did_not_answer_until_it_does(database: Database) -> None:
    await database.execute(ASLEEP, "content-1", "here", ADDRESS, timedelta(0))
    for answers, state in ((False, WorkerState.DEAD), (True, WorkerState.HIBERNATING)):
        await note_answer(database, ADDRESS, answers)
        assert await count_alive(database) == ({Process.CONTENT: 1} if answers else {})
        told = (await read_service_state(database)).workers
        assert (told["content", "hibernating"], told["content", "silent"]) == ((1, 0) if answers else (0, 1))
        assert [row.state for row in await list_workers(database, 9)] == [state]
        assert await list_sleepers(database) == [ADDRESS]  # it is asked again


async def test_who_awakes_at_an_address_replaces_those_that_slept_there(database: Database) -> None:
    ours, hour = socket.gethostname(), timedelta(hours=1)
    for name, host, address, since in (
        ("before-us", ours, ADDRESS, hour),
        ("at-another-port", ours, "http://content:8001/wake", 9 * hour),
        ("replica", "there", ADDRESS, 6 * hour),
        ("container-that-is-gone", "there", ADDRESS, 8 * hour),
    ):
        await database.execute(ASLEEP, name, host, address, since)
    await forget_predecessors(database, "content-1", ADDRESS, 7 * 3600)
    assert len(await names(database)) == 4  # who has no row himself replaces nobody
    async with open_heartbeat(database, "content-1", Process.CONTENT, lambda: Vitals(0)) as heartbeat:
        await forget_predecessors(database, "content-1", ADDRESS, 7 * 3600)
        heartbeat.wake_url = ADDRESS
    await forget_predecessors(database, "content-1", ADDRESS, 7 * 3600)
    assert sorted(await names(database)) == ["at-another-port", "content-1", "replica"]
