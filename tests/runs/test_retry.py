"""Operators retry dead jobs: into the run that writes, or one new run for each roadmap; twice changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from model_server import ModelServer
from redis.asyncio import Redis
from whole import offline
from worker_here import WritingRun, open_tools, pass_time, queued_run, run_of, writing_run

from roadmap.database import Database
from roadmap.dead_jobs import store as dead_jobs
from roadmap.dead_jobs.model import DeadJob, DeadJobStatus, Selection
from roadmap.dead_jobs.service import bury_unexecuted
from roadmap.embedded.redis import RedisServer
from roadmap.errors import Unusable
from roadmap.ids import new_id
from roadmap.llm.client import Endpoint
from roadmap.queue.client import Queue, open_queue
from roadmap.queue.model import Job, Unexecuted
from roadmap.roadmaps.model import Kind
from roadmap.runs.draft import draft
from roadmap.runs.retry import AT_ONCE, MOST_SKIPPED, discard_dead_jobs, retry_dead_jobs
from roadmap.runs.settle import fail
from roadmap.runs.tools import Tools
from roadmap.runs.write import write_concept

ONE = (Kind.TUTORIAL,)
REFUSED = Unusable("model_refused", "the model refused")
ALL = Selection()


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[Queue]:
    async with open_queue(redis_url, timeout=5) as opened:
        yield opened


@pytest.fixture
async def tools(database: Database, redis_url: str, server: ModelServer) -> AsyncIterator[Tools]:
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as opened:
        yield opened


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def failed_run(tools: Tools, count: int = 2, left_open: int = 0) -> WritingRun:
    """A piece for each concept, all failed but the last so many."""
    run = await writing_run(tools.db, count, ONE)
    for place in range(count - left_open):
        await fail(tools, (await run.claim(place))[0], REFUSED)
    return run


async def dead(db: Database) -> list[DeadJob]:
    return await dead_jobs.list_dead_jobs(db, dead_jobs.Filters(DeadJobStatus.DEAD), None, 1_000)


async def runs_of(db: Database, roadmap_id: UUID) -> list[dict[str, Any]]:
    rows = await db.fetch("SELECT * FROM runs WHERE roadmap_id = $1 ORDER BY created_at, id", roadmap_id)
    return [dict(row) for row in rows]


async def states(db: Database, run_id: UUID) -> list[tuple[Any, ...]]:
    query = "SELECT status, failures, crashes, error_code, due_at IS NOT NULL FROM content WHERE run_id = $1"
    return [tuple(row) for row in await db.fetch(query, run_id)]


async def job_ids(redis: Redis) -> list[str]:
    return sorted(job.decode() for job in await redis.zrange("content", 0, -1))


REOPENED = ("pending", 0, 0, None, True)


async def test_pieces_of_one_roadmap_are_taken_up_in_one_run(tools: Tools, queue: Queue, redis: Redis) -> None:
    run, other = await failed_run(tools, 3), await failed_run(tools, 1)
    outcome = await retry_dead_jobs(tools.db, queue, ALL, "cli")
    assert (outcome.done, outcome.left, outcome.more) == (4, 0, False)
    assert await dead(tools.db) == []
    for one, pieces in ((run, 3), (other, 1)):
        made = await runs_of(tools.db, one.roadmap_id)
        assert [(row["kind"], row["status"]) for row in made] == [("create", "incomplete"), ("complete", "writing")]
        assert await states(tools.db, made[1]["id"]) == [REOPENED] * pieces
    assert len(await job_ids(redis)) == 4
    logged = await tools.db.fetch("SELECT message, details FROM execution_log")
    assert {(row["message"], row["details"]["asked_by"]) for row in logged} == {
        ("what is missing is asked for again", "cli")
    }


async def test_a_second_click_changes_nothing(tools: Tools, queue: Queue) -> None:
    run = await failed_run(tools)
    ids = tuple(one.id for one in await dead(tools.db))
    await retry_dead_jobs(tools.db, queue, Selection(ids), "cli")
    before = await tools.db.fetch("SELECT * FROM content"), await tools.db.fetch("SELECT * FROM dead_jobs")
    again = await retry_dead_jobs(tools.db, queue, Selection(ids), "usr_1")
    assert (again.done, again.left, {skipped.id for skipped in again.skipped}) == (0, 2, set(ids))
    assert (await tools.db.fetch("SELECT * FROM content"), await tools.db.fetch("SELECT * FROM dead_jobs")) == before
    assert len(await runs_of(tools.db, run.roadmap_id)) == 2
    assert (await discard_dead_jobs(tools.db, Selection(ids), "cli")).done == 0


async def test_while_the_run_still_writes_the_piece_is_reopened_in_it(tools: Tools, queue: Queue, redis: Redis) -> None:
    run = await failed_run(tools, 2, left_open=1)
    outcome = await retry_dead_jobs(tools.db, queue, ALL, "cli")
    assert outcome.done == 1
    assert len(await runs_of(tools.db, run.roadmap_id)) == 1
    assert await states(tools.db, run.id) == [REOPENED] * 2
    assert [name.rpartition(":")[0] for name in await job_ids(redis)] == [f"write:{run.id.hex}:{run.concepts[0].hex}"]
    for place in range(2):
        await fail(tools, (await run.claim(place))[0], REFUSED)
    assert (await run_of(tools.db, run.id))["status"] == "incomplete"
    assert len(await dead(tools.db)) == 2, "what fails again is dead again"


@pytest.mark.parametrize("status", ["queued", "drafting"])
async def test_while_a_plan_is_drafted_they_stay_dead_and_the_reason_is_told(
    tools: Tools, queue: Queue, status: str
) -> None:
    run = await failed_run(tools)
    await tools.db.execute("UPDATE runs SET status = $1, finished_at = NULL", status)
    outcome = await retry_dead_jobs(tools.db, queue, ALL, "cli")
    assert (outcome.done, outcome.left) == (0, 2)
    assert {skipped.reason for skipped in outcome.skipped} == {"a run of its roadmap has no plan yet: try again later"}
    assert len(await dead(tools.db)) == 2
    assert {state[0] for state in await states(tools.db, run.id)} == {"failed"}


async def test_a_run_for_some_of_what_is_missing_ends_incomplete_and_one_for_the_rest_succeeds(
    tools: Tools, queue: Queue, server: ModelServer
) -> None:
    run = await failed_run(tools, 2)
    server.default = offline()
    for place, end in enumerate(("incomplete", "succeeded")):
        chosen = next(one for one in await dead(tools.db) if one.concept_id == run.concepts[place])
        await retry_dead_jobs(tools.db, queue, Selection((chosen.id,)), "cli")
        made = (await runs_of(tools.db, run.roadmap_id))[-1]["id"]
        assert await states(tools.db, made) == [REOPENED]
        await write_concept(tools, made, run.concepts[place])
        assert (await run_of(tools.db, made))["status"] == end


async def test_a_piece_that_is_not_failed_any_more_is_left_alone(tools: Tools, queue: Queue) -> None:
    run = await failed_run(tools, 1)
    await tools.db.execute("UPDATE content SET status = 'ready'")
    outcome = await retry_dead_jobs(tools.db, queue, ALL, "cli")
    assert (outcome.done, outcome.left) == (0, 1)
    assert len(await runs_of(tools.db, run.roadmap_id)) == 1


async def test_a_deleted_roadmap_is_not_taken_up(tools: Tools, queue: Queue) -> None:
    await failed_run(tools, 1)
    await tools.db.execute("UPDATE roadmaps SET deleted_at = now()")
    outcome = await retry_dead_jobs(tools.db, queue, ALL, "cli")
    assert [skipped.reason for skipped in outcome.skipped] == ["its roadmap was deleted: discard it"]


async def test_a_dead_draft_is_drafted_again_where_it_stopped(tools: Tools, queue: Queue, redis: Redis) -> None:
    started = await queued_run(tools.db)
    await tools.db.execute("UPDATE roadmaps SET preferences = jsonb_set(preferences, '{size}', '\"huge\"')")
    insert = "INSERT INTO run_steps (run_id, key, output, duration_ms) VALUES ($1, 'intent', '{}', 1)"
    await tools.db.execute(insert, started.run_id)
    for _ in range(2):
        await draft(tools, started.run_id)
        await pass_time(tools.db)
    assert [one.code for one in await dead(tools.db)] == ["internal"]
    for done in (1, 0):
        assert (await retry_dead_jobs(tools.db, queue, ALL, "cli")).done == done
    made = await runs_of(tools.db, started.roadmap_id)
    assert [(row["kind"], row["status"]) for row in made] == [("create", "failed"), ("complete", "queued")]
    assert await tools.db.fetchval("SELECT count(*) FROM run_steps WHERE run_id = $1", made[1]["id"]) == 1
    assert await job_ids(redis) == [f"draft:{made[1]['id'].hex}:0"]


async def test_a_job_of_a_queue_is_offered_again_when_it_fits_now(tools: Tools, queue: Queue, redis: Redis) -> None:
    run_id = new_id().hex
    for job in (
        Job("draft", "fits", (run_id,)),
        Job("draft", "too many", (run_id, "b")),
        Job("draft", "a number", (1,)),
        Job("unheard_of", "stranger", ()),
    ):
        await bury_unexecuted(tools.db, "content", Unexecuted(job.id, job.function, "expired", job.payload(1)))
    await bury_unexecuted(tools.db, "content", Unexecuted("garbage", None, "undecodable", b"\xff"))
    outcome = await retry_dead_jobs(tools.db, queue, ALL, "cli")
    assert (outcome.done, outcome.left) == (1, 4)
    assert await job_ids(redis) == ["fits"]
    of = {one.id: one.job_id for one in await dead(tools.db)}
    assert {of[skipped.id]: skipped.reason for skipped in outcome.skipped} == {
        "too many": "its arguments do not fit its function: discard it",
        "a number": "its arguments do not fit its function: discard it",
        "stranger": "no worker knows its function: discard it",
        "garbage": "its arguments could not be read: discard it",
    }
    assert (await discard_dead_jobs(tools.db, ALL, "cli")).done == 4
    assert await dead(tools.db) == []


async def test_while_redis_is_away_pieces_are_taken_up_and_jobs_stay_dead(
    database: Database, server: ModelServer, servers_folder: Path
) -> None:
    redis = RedisServer(servers_folder / "redis-retried", durable=False)
    await redis.start()
    try:
        async with open_tools(database, redis.url, Endpoint("small", server.url)) as tools:
            run = await failed_run(tools, 1)
            job = Job("draft", "fits", (new_id().hex,))
            await bury_unexecuted(database, "content", Unexecuted("fits", "draft", "expired", job.payload(1)))
            await redis.stop()
            outcome = await retry_dead_jobs(database, tools.queue, ALL, "cli")
            assert (outcome.done, outcome.left) == (1, 1)
            assert [one.job_id for one in await dead(database)] == ["fits"]
            assert (await runs_of(database, run.roadmap_id))[1]["status"] == "writing", "the sweeper will enqueue it"
    finally:
        await redis.stop()


async def test_a_discarded_dead_job_changes_nothing_else(tools: Tools, queue: Queue) -> None:
    run = await failed_run(tools)
    one, two = await dead(tools.db)
    before = await tools.db.fetch("SELECT * FROM content")
    outcome = await discard_dead_jobs(tools.db, Selection((one.id, new_id())), "usr_1")
    assert (outcome.done, outcome.left) == (1, 1)
    assert [left.id for left in await dead(tools.db)] == [two.id]
    assert await tools.db.fetch("SELECT * FROM content") == before
    assert len(await runs_of(tools.db, run.roadmap_id)) == 1


async def test_a_group_is_retried_without_the_others(tools: Tools, queue: Queue) -> None:
    await failed_run(tools)
    strange = await writing_run(tools.db, 1, ONE)
    await fail(tools, (await strange.claim())[0], Unusable("model_empty", "nothing"))
    group = next(group for group in await dead_jobs.list_groups(tools.db, 9) if group.code == "model_refused")
    assert (await retry_dead_jobs(tools.db, queue, Selection(fingerprint=group.fingerprint), "cli")).done == 2
    assert [one.code for one in await dead(tools.db)] == ["model_empty"]


async def test_more_than_a_page_is_dealt_with_in_one_call(tools: Tools, queue: Queue) -> None:
    run, count = await failed_run(tools, 3), 2 * AT_ONCE
    for number in range(count):
        job = Job("unheard_of", f"j{number}")
        await bury_unexecuted(tools.db, "content", Unexecuted(job.id, job.function, "unknown_function", job.payload(1)))
    outcome = await retry_dead_jobs(tools.db, queue, ALL, "cli")
    assert (outcome.done, outcome.left, len(outcome.skipped), outcome.more) == (3, count, MOST_SKIPPED, False)
    assert len(await runs_of(tools.db, run.roadmap_id)) == 2
    assert (await discard_dead_jobs(tools.db, ALL, "cli")).done == count


@pytest.mark.parametrize("parts", [1, 3], ids=["the same", "others of the same roadmap"])
async def test_retries_at_once_make_one_run(tools: Tools, redis_url: str, parts: int) -> None:
    for _ in range(5):
        run = await failed_run(tools, 3)
        ids = [one.id for one in await dead(tools.db)]
        async with open_queue(redis_url, timeout=5) as queue:
            selections = [Selection((ids[number % parts],) if parts > 1 else tuple(ids)) for number in range(3)]
            outcomes = await asyncio.gather(*(retry_dead_jobs(tools.db, queue, one, "cli") for one in selections))
        assert sum(outcome.done for outcome in outcomes) == 3
        made = await runs_of(tools.db, run.roadmap_id)
        assert [row["status"] for row in made] == ["incomplete", "writing"]
        assert await states(tools.db, made[1]["id"]) == [REOPENED] * 3
        assert await _seqs(tools.db, run.roadmap_id) == list(range(1, len(await _seqs(tools.db, run.roadmap_id)) + 1))


async def _seqs(db: Database, roadmap_id: UUID) -> Sequence[int]:
    rows = await db.fetch("SELECT seq FROM events WHERE roadmap_id = $1 ORDER BY seq", roadmap_id)
    return [row["seq"] for row in rows]
