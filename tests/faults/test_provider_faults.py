"""The provider misbehaves: a piece costs itself alone, an outage no try; a broken plan fails with its report."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from model_server import Behaviour, Call, answer, status
from whole import MALFORMED, Whole, asked, check_ledger, check_run, offline, open_whole, subject

DEAD_JOBS = "SELECT function, concept_id, kind, code, attempts FROM dead_jobs WHERE status = 'dead'"


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url) as opened:
        await opened.stack.start("content")
        yield opened


@pytest.mark.fault("F19")
async def test_two_quizzes_that_fail_leave_the_run_incomplete_with_exactly_these_missing(whole: Whole) -> None:
    unlucky: set[str] = set()

    def choose(call: Call) -> Behaviour:
        if call.purpose == "quiz" and (len(unlucky) < 2 or subject(call) in unlucky):
            unlucky.add(subject(call))
            return MALFORMED
        return offline()(call)

    whole.model.default = choose
    roadmap_id = await whole.create()
    roadmap = await whole.finish(roadmap_id)
    pieces = await check_run(whole.db, roadmap_id, "run.incomplete")
    failed = [piece for piece in pieces if piece["status"] == "failed"]
    shown = [
        (concept["key"] if "key" in concept else concept["title"], kind, piece)
        for stage in roadmap["plan"]["stages"]
        for module in stage["modules"]
        for concept in module["concepts"]
        for kind, piece in concept["content"].items()
        if piece["status"] == "failed"
    ]
    assert roadmap["status"] == "incomplete"
    assert {piece["kind"] for piece in failed} == {"quiz"}
    assert len(failed) == len(shown) == 2
    assert {piece["error_code"] for piece in failed} == {"model_malformed"}
    await check_ledger(whole, roadmap_id)


async def test_outlines_that_break_a_rule_fail_the_run_with_the_report(whole: Whole) -> None:
    def choose(call: Call) -> Behaviour:
        return _without_prerequisites() if call.purpose in {"outline", "revise"} else offline()(call)

    whole.model.default = choose
    roadmap_id = await whole.create()
    roadmap = await whole.finish(roadmap_id)
    run = (await whole.api.get(f"/v1/runs/{roadmap['run']['id']}")).json()
    await check_run(whole.db, roadmap_id, "run.failed")
    assert run["status"] == "failed"
    assert run["error"]["code"] == "plan_rejected"
    assert any(finding["severity"] == "error" for finding in run["error"]["report"]["findings"])
    assert roadmap["plan"] is None
    await check_ledger(whole, roadmap_id)


def _without_prerequisites() -> Behaviour:
    concepts = [
        {"key": f"c{n}", "title": f"Concept {n}", "summary": "A thing.", "minutes": 60, "requires": [f"c{n}"],
         "objectives": ["Know it", "Use it"]}
        for n in range(20)
    ]  # fmt: skip
    modules = [{"title": f"Module {m}", "concepts": concepts[5 * m : 5 * m + 5]} for m in range(4)]
    return answer({"title": "Loops", "summary": "Each needs itself.", "stages": [{"title": "All", "modules": modules}]})


@pytest.mark.fault("F19")
async def test_429_with_retry_after_and_500_cost_no_try(whole: Whole) -> None:
    refused: dict[str, int] = {}

    def choose(call: Call) -> Behaviour:
        what = f"{call.purpose} {subject(call)}"
        refused[what] = refused.get(what, 0) + 1
        if refused[what] == 1 and hash(what) % 3 == 0:
            return status(429, {"retry-after": "1"})
        if refused[what] == 1 and hash(what) % 3 == 1:
            return status(500, {"retry-after": "1"})
        return offline()(call)

    whole.model.default = choose
    roadmap_id = await whole.create()
    assert (await whole.finish(roadmap_id))["status"] == "succeeded"
    pieces = await check_run(whole.db, roadmap_id)
    run = await whole.db.fetchrow("SELECT failures, crashes FROM runs")
    assert run is not None
    assert {(piece["failures"], piece["crashes"]) for piece in pieces} == {(0, 0)}
    assert tuple(run) == (0, 0)
    # Each question at most twice; a job that comes back asks only for what it has not.
    assert max(refused.values()) <= 2
    # A quiz is about its tutorial, also when that had to come again.
    quizzes = [asked(call) for call in whole.model.calls if call.purpose == "quiz"]
    assert all(quiz["tutorial"] for quiz in quizzes)
    await check_ledger(whole, roadmap_id)


@pytest.mark.fault("F21")
async def test_a_piece_that_kills_its_worker_fails_after_three_crashes_and_the_rest_completes(whole: Whole) -> None:
    """The provider plays the poison: whoever asks for the tutorial of this concept is killed."""
    poison: list[str] = []
    name = "content"

    def choose(call: Call) -> Behaviour:
        if call.purpose == "tutorial" and (not poison or subject(call) == poison[0]):
            poison[:] = [subject(call)]
            whole.stack[name].signal(signal.SIGKILL)
        return offline(0.05)(call)

    whole.model.default = choose
    roadmap_id = await whole.create()
    for _ in range(3):
        await whole.stack[name].exits(within=20)
        await whole.stack.start(name)
    roadmap = await whole.finish(roadmap_id, within=30)
    pieces = await check_run(whole.db, roadmap_id, "run.incomplete")
    failed = [piece for piece in pieces if piece["status"] == "failed"]
    assert roadmap["status"] == "incomplete"
    assert {piece["error_code"] for piece in failed} == {"worker_died"}
    assert len({piece["concept_id"] for piece in failed}) == 1
    buried = {
        (row["concept_id"], row["kind"]): (row["code"], row["attempts"]) for row in await whole.db.fetch(DEAD_JOBS)
    }
    assert buried == {(piece["concept_id"], piece["kind"]): ("worker_died", 3) for piece in failed}


@pytest.mark.fault("F21")
@pytest.mark.slow
async def test_a_plan_that_kills_its_worker_fails_its_run_after_three_crashes(whole: Whole) -> None:
    goal = "Learn the poison"
    name = "content"

    def choose(call: Call) -> Behaviour:
        if call.purpose == "outline" and asked(call)["goal"] == goal:
            whole.stack[name].signal(signal.SIGKILL)
        return offline(0.05)(call)

    whole.model.default = choose
    neighbour, poison = await whole.create(), await whole.create(goal)
    for _ in range(3):
        await whole.stack[name].exits(within=20)
        await whole.stack.start(name)
    roadmap = await whole.finish(poison)
    await check_run(whole.db, poison, "run.failed")
    run = (await whole.api.get(f"/v1/runs/{roadmap['run']['id']}")).json()
    assert run["error"]["code"] == "worker_died"
    (buried,) = await whole.db.fetch(DEAD_JOBS)
    assert (buried["function"], buried["code"], buried["attempts"]) == ("draft", "worker_died", 3)
    assert (await whole.finish(neighbour))["status"] == "succeeded"
