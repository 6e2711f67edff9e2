"""What failed, was canceled or never planned is completed through real processes, and paid for once."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from model_server import Behaviour, Call
from waiting import eventually
from whole import MALFORMED, Whole, check_ledger, check_queues, offline, open_whole, rows, subject

from roadmap.ids import new_id

PROGRAM = Path(sys.executable).with_name("roadmap")
GOAL = {"goal": "Learn SQL in six weeks, 5 hours a week", "size": "small"}


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url) as opened:
        await opened.stack.start("content", "logs")
        yield opened


def failing(purpose: str, most: int) -> Callable[[Call], Behaviour]:
    """Fails this purpose for the first `most` subjects, whenever it is asked."""
    subjects: set[str] = set()

    def behave(call: Call) -> Behaviour:
        if call.purpose == purpose and (subject(call) in subjects or len(subjects) < most):
            subjects.add(subject(call))
            return MALFORMED
        return offline()(call)

    return behave


async def dead_jobs(whole: Whole, status: str = "dead") -> list[dict[str, Any]]:
    answer = await whole.api.get("/v1/admin/dead-jobs", params={"status": status})
    assert answer.status_code == 200
    return list(answer.json()["data"])


async def command(whole: Whole, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *arguments, env=os.environ | whole.stack._environment, stdout=-1, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_two_failed_quizzes_are_listed_retried_by_command_and_then_nothing_is_missing(whole: Whole) -> None:
    whole.model.default = failing("quiz", 2)
    roadmap_id = await whole.create(**GOAL)
    roadmap = await whole.finish(roadmap_id)
    assert (roadmap["status"], roadmap["content"]["failed"]) == ("incomplete", 2)
    found = await dead_jobs(whole)
    assert {(dead["roadmap_id"], dead["function"], dead["kind"], dead["code"], dead["attempts"]) for dead in found} == {
        (roadmap_id, "write_concept", "quiz", "model_malformed", 2)
    }
    detail = (await whole.api.get(f"/v1/admin/dead-jobs/{found[0]['id']}")).json()
    assert "write_quiz" in detail["traceback"]
    groups = (await whole.api.get("/v1/admin/failures")).json()
    assert [(group["fingerprint"], group["count"]) for group in groups["data"]] == [(found[0]["fingerprint"], 2)]
    code, listed = await command(whole, "dead-jobs", "list")
    assert code == 0
    assert all(dead["id"] in listed for dead in found)
    whole.model.default = offline()
    before = len(whole.model.calls)
    assert await command(whole, "dead-jobs", "retry", "--all") == (0, "2 retried, 0 left\n")
    roadmap = await whole.finish(roadmap_id)
    assert (roadmap["status"], roadmap["run"]["kind"]) == ("succeeded", "complete")
    assert roadmap["content"] == {"pending": 0, "writing": 0, "failed": 0, "ready": sum(roadmap["content"].values())}
    assert [call.purpose for call in whole.model.calls[before:]] == ["quiz", "quiz"]
    assert await dead_jobs(whole) == []
    assert {dead["resolved_by"] for dead in await dead_jobs(whole, "retried")} == {"cli"}
    await check_ledger(whole, roadmap_id)
    await check_queues(whole.redis)

    async def logged() -> bool:
        page = (await whole.api.get(f"/v1/roadmaps/{roadmap_id}/log", params={"q": "asked for again"})).json()
        return [entry["details"]["asked_by"] for entry in page["data"]] == ["cli"]

    await eventually(logged, "the execution log tells who asked")


async def test_the_owner_completes_it_with_one_call_and_a_repeated_one_changes_nothing(whole: Whole) -> None:
    whole.model.default = failing("resources", 1)
    roadmap_id = await whole.create(**GOAL)
    await whole.finish(roadmap_id)
    whole.model.default = offline()
    path, key = f"/v1/roadmaps/{roadmap_id}/complete", {"Idempotency-Key": new_id().hex}
    answer = await whole.api.post(path, json={"max_cost_micros": 5_000_000}, headers=key)
    again = await whole.api.post(path, json={"max_cost_micros": 5_000_000}, headers=key)
    assert (answer.status_code, again.status_code) == (202, 202)
    assert again.json() == answer.json()
    shown = answer.json()
    assert (shown["kind"], shown["status"], shown["roadmap_id"]) == ("complete", "writing", roadmap_id)
    assert answer.headers["location"] == f"/v1/runs/{shown['id']}"
    assert answer.headers["retry-after"] == "1"
    assert (await whole.api.get(shown["links"]["self"])).json()["run"]["id"] == shown["id"]
    roadmap = await whole.finish(roadmap_id)
    assert (roadmap["status"], roadmap["run"]["id"], roadmap["max_cost_micros"]) == (
        "succeeded",
        shown["id"],
        5_000_000,
    )
    refused = await whole.api.post(path, json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "nothing is missing" in refused.json()["detail"]
    runs = (await whole.api.get(f"/v1/roadmaps/{roadmap_id}/runs")).json()["data"]
    assert [(run["kind"], run["status"]) for run in runs] == [("complete", "succeeded"), ("create", "incomplete")]
    assert (await dead_jobs(whole, "retried"))[0]["resolved_by"].startswith("usr_")


async def test_after_a_cancel_what_is_ready_stays_and_the_rest_is_made(whole: Whole) -> None:
    whole.model.default = offline(0.3)
    roadmap_id = await whole.create(**GOAL)
    await whole.ready(6)
    run_id = (await whole.api.get(f"/v1/roadmaps/{roadmap_id}")).json()["run"]["id"]
    busy = await whole.api.post(f"/v1/roadmaps/{roadmap_id}/complete", json={})
    assert busy.status_code == 409
    assert run_id in busy.json()["detail"]
    await whole.api.post(f"/v1/runs/{run_id}/cancel")
    kept = {tuple(row.values()) for row in await rows(whole.db, BODIES, roadmap_id)}
    assert (await whole.api.post(f"/v1/roadmaps/{roadmap_id}/complete", json={})).status_code == 202
    assert (await whole.finish(roadmap_id))["status"] == "succeeded"
    bodies = {tuple(row.values()) for row in await rows(whole.db, BODIES, roadmap_id)}
    assert kept < bodies
    assert {version for _, _, version, _ in bodies} == {1}
    assert await dead_jobs(whole) == []


BODIES = "SELECT concept_id, kind, version, created_at FROM content_versions WHERE roadmap_id = $1"


async def test_after_a_failed_draft_only_what_is_missing_is_paid_for(whole: Whole) -> None:
    whole.model.default = lambda call: MALFORMED if call.purpose == "outline" else offline()(call)
    roadmap_id = await whole.create(**GOAL)
    assert (await whole.finish(roadmap_id))["status"] == "failed"
    whole.model.default = offline()
    outlines = whole.model.count(purpose="outline")
    answer = await whole.api.post(f"/v1/roadmaps/{roadmap_id}/complete", json={})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert (await whole.finish(roadmap_id))["status"] == "succeeded"
    assert whole.model.count(purpose="intent") == 1
    assert whole.model.count(purpose="outline") == outlines + 1
    assert [dead["function"] for dead in await dead_jobs(whole, "retried")] == ["draft"]
    await check_ledger(whole, roadmap_id)
