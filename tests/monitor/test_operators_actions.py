"""POST /v1/admin/…: what operators do, for whom, and what is written down of it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from waiting import eventually
from watched import FINGERPRINT, OLGA, Watched, open_watched

from roadmap.audit.model import COMMAND_LINE
from roadmap.dead_jobs.model import Selection
from roadmap.dead_jobs.service import bury_unexecuted
from roadmap.errors import Outage
from roadmap.heartbeat import Process, Vitals, open_heartbeat
from roadmap.ids import Prefix, new_id, show_id
from roadmap.monitor import actions
from roadmap.queue.model import Job, Unexecuted
from roadmap.runs.leases import CANCELED


@pytest.fixture
async def watched(database_url: str, redis_url: str) -> AsyncIterator[Watched]:
    async with open_watched(database_url, redis_url) as opened:
        yield opened


async def noted(watched: Watched) -> list[tuple[str, str, str]]:
    """Who did what to what, the latest first. The keys were made by the test itself."""
    entries = (await watched.get("/audit", limit=100))["data"]
    found = [(entry["actor"], entry["action"], entry["subject"]) for entry in entries]
    return [entry for entry in found if entry[1] != "key_created"]


async def test_a_queue_is_paused_and_resumed_and_who_did_it_is_told(watched: Watched) -> None:
    assert await watched.post("/queues/content/pause") == {"name": "content", "paused": True, "changed": True}
    assert (await watched.post("/queues/content/pause"))["changed"] is False
    content, logs = (await watched.get("/queues"))["data"]
    assert content["paused_by"] == f"key of {OLGA}"
    assert content["paused_at"] is not None
    assert "it is paused" in content["reasons"]
    assert logs["paused_at"] is None
    assert await watched.post("/queues/content/resume") == {"name": "content", "paused": False, "changed": True}
    assert (await watched.post("/queues/content/resume"))["changed"] is False
    assert (await watched.get("/queues"))["data"][0]["paused_at"] is None
    actor = f"key of {OLGA}"
    assert await noted(watched) == [(actor, "queue_resumed", "content"), (actor, "queue_paused", "content")]


async def test_a_process_hears_of_a_pause_before_it_takes_its_first_job(watched: Watched) -> None:
    await watched.post("/queues/content/pause")
    heard: list[bool] = []
    async with open_heartbeat(watched.api.db, "c1", Process.CONTENT, lambda: Vitals(0), heard.append):
        assert heard[0] is True
    async with open_heartbeat(watched.api.db, "l1", Process.LOGS, lambda: Vitals(0), heard.append):
        assert heard[-1] is False


async def test_a_process_hears_of_a_pause_while_it_runs(watched: Watched) -> None:
    heard: list[bool] = []
    async with open_heartbeat(watched.api.db, "c1", Process.CONTENT, lambda: Vitals(0), heard.append):
        assert heard == [False] or heard == [False, False]
        await watched.post("/queues/content/pause")
        await eventually(lambda: heard[-1], "the next heartbeat brings it", within=10)


async def test_an_operator_cancels_anybodys_run(watched: Watched) -> None:
    listening = watched.api.state.runtime.queue.listen(CANCELED)
    assert await anext(listening) is None
    seen = await watched.post(f"/runs/{watched.run_id}/cancel")
    assert (seen["run"]["status"], seen["run"]["open"]) == ("canceled", 5)
    assert "canceled by an operator" in [line["message"] for line in seen["log"]]
    assert await anext(listening) == watched.run.hex
    await listening.aclose()
    assert (await watched.post(f"/runs/{watched.run_id}/cancel"))["run"]["status"] == "canceled"
    assert await noted(watched) == [(f"key of {OLGA}", "run_canceled", watched.run_id)]


async def test_an_operator_completes_anybodys_roadmap_and_its_owner_sees_no_address(watched: Watched) -> None:
    path = f"/roadmaps/{watched.roadmap_id}/complete"
    assert "wait for its end" in (await watched.post(path, 409))["detail"]
    await watched.post(f"/runs/{watched.run_id}/cancel")
    assert (await watched.get(f"/roadmaps/{watched.roadmap_id}"))["can_complete"] is True
    seen = await watched.post(path, 202)
    assert (seen["run"]["kind"], seen["run"]["status"], seen["run"]["open"]) == ("complete", "writing", 6)
    assert seen["run"]["learner"] == "Ada@example.org"
    assert OLGA not in str(seen["log"])
    [dead] = (await watched.get("/dead-jobs", status="retried"))["data"]
    assert dead["resolved_by"].startswith("usr_")
    assert (await noted(watched))[0] == (f"key of {OLGA}", "roadmap_completed", watched.roadmap_id)
    assert await watched.api.state.runtime.queue.depth("content") == 2


async def test_a_group_of_failures_is_retried_and_gone(watched: Watched) -> None:
    body = {"fingerprint": FINGERPRINT}
    answer = await watched.operator.post("/v1/admin/dead-jobs/retry", json=body)
    assert answer.json() == {"done": 1, "left": 0, "skipped": [], "has_more": False}
    assert (await watched.get("/failures"))["data"] == []
    assert await noted(watched) == [(f"key of {OLGA}", "dead_jobs_retried", f"group {FINGERPRINT}")]


async def test_who_began_what_was_cut_short_is_told(watched: Watched) -> None:
    """PostgreSQL goes away after the first of two transactions."""
    db, queue = watched.api.db, watched.api.state.runtime.queue
    for job in (Job("draft", "j1", (new_id().hex,)), Job("draft", "j2", (new_id().hex,))):
        await bury_unexecuted(db, "content", Unexecuted(job.id, job.function, "unknown_function", job.payload(1)))
    rows = await db.fetch("SELECT id FROM dead_jobs WHERE job_id IS NOT NULL ORDER BY id")
    await db.execute(GOES_AWAY)
    await db.execute(AT_THE_SECOND)
    both = Selection(ids=tuple(row["id"] for row in rows))
    with pytest.raises(Outage):
        await actions.retry_dead_jobs(db, queue, both, COMMAND_LINE)
    assert await db.fetchval("SELECT array_agg(status ORDER BY id) FROM dead_jobs WHERE job_id IS NOT NULL") == [
        "retried", "dead",
    ]  # fmt: skip
    [begun] = (await watched.get("/audit", action="dead_jobs_retried"))["data"]
    told = [show_id(Prefix.DEAD_JOB, row["id"]) for row in rows]
    assert (begun["actor"], begun["details"]) == ("command line", {"unfinished": True, "ids": told})
    await db.execute("DROP TRIGGER goes_away ON dead_jobs")
    await actions.retry_dead_jobs(db, queue, both, COMMAND_LINE)
    ended = (await watched.get("/audit", action="dead_jobs_retried"))["data"][0]
    assert ended["details"] == {"done": 1, "left": 1, "ids": told}


GOES_AWAY = """
CREATE FUNCTION go_away() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'terminating connection' USING ERRCODE = 'admin_shutdown'; END $$
"""
AT_THE_SECOND = """
CREATE TRIGGER goes_away BEFORE UPDATE ON dead_jobs FOR EACH ROW WHEN (OLD.job_id = 'j2') EXECUTE FUNCTION go_away()
"""


async def test_the_audit_log_has_pages_and_filters(watched: Watched) -> None:
    for _ in range(3):
        await watched.post("/queues/logs/pause")
        await watched.post("/queues/logs/resume")
    first = await watched.get("/audit", limit=2, subject="logs", action="queue_paused")
    rest = await watched.get("/audit", limit=2, subject="logs", action="queue_paused", after=first["next_cursor"])
    assert (len(first["data"]), len(rest["data"]), rest["has_more"]) == (2, 1, False)
    assert first["data"][0]["at"] >= first["data"][1]["at"] >= rest["data"][0]["at"]
    assert len((await watched.get("/audit", action="queue_paused"))["data"]) == 3
    assert (await watched.get("/audit", subject="content"))["data"] == []


async def test_nobody_else_may_do_any_of_it(watched: Watched) -> None:
    paths = (
        "queues/content/pause", "queues/content/resume", f"runs/{watched.run_id}/cancel",
        f"roadmaps/{watched.roadmap_id}/complete",
    )  # fmt: skip
    assert [await status(watched.api.alice, path) for path in paths] == [403] * len(paths)
    assert [await status(watched.api.nobody, path) for path in paths] == [401] * len(paths)
    assert [
        await status(watched.operator, path) for path in ("queues/web/pause", f"runs/run_{new_id().hex}/cancel")
    ] == [
        404,
        404,
    ]
    assert await noted(watched) == []
    assert await watched.api.db.fetchval("SELECT count(*) FROM paused_queues") == 0


async def status(client: httpx.AsyncClient, path: str) -> Any:
    return (await client.post(f"/v1/admin/{path}")).status_code
