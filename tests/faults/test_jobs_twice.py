"""Every job of a run delivered again, and to two workers at once: the same rows, and the model is paid once (F23)."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import orjson
import pytest
from model_server import ModelServer, model_server
from pooler import is_pooled
from whole import check_run, offline

from roadmap.accounts.keys import create_key
from roadmap.database import Database, Pool, open_database
from roadmap.errors import Outage
from roadmap.execution_log.batch import job_id, pack
from roadmap.execution_log.jobs import open_committer
from roadmap.execution_log.recorder import open_recorder
from roadmap.ids import Prefix, new_id, show_id
from roadmap.llm.client import Endpoint, open_provider
from roadmap.queue.client import open_queue
from roadmap.roadmaps.model import Wishes
from roadmap.runs.draft import draft
from roadmap.runs.leases import open_leases
from roadmap.runs.service import Started, announce_cancellation, cancel_run, insert_roadmap
from roadmap.runs.store import lock_run
from roadmap.runs.sweeper import Sweeper
from roadmap.runs.tools import Tools
from roadmap.runs.write import write_concept
from workers import content, logs

GOAL = "Learn SQL in six weeks, 5 hours a week"
LEASE = 5.0  # a busy machine must not make one worker take over from the other


@dataclass(frozen=True, slots=True)
class Pair:
    """Two workers' tools inside this process, over one database. No job is taken from the queue by itself."""

    first: Tools
    second: Tools
    model: ModelServer
    user_id: UUID

    async def start(self) -> Started:
        return await insert_roadmap(self.first.db, self.user_id, Wishes(GOAL))

    async def concepts(self, run_id: UUID) -> list[UUID]:
        found = await self.first.db.fetch("SELECT DISTINCT concept_id FROM content WHERE run_id = $1", run_id)
        return [row["concept_id"] for row in found]


@pytest.fixture
async def pair(database_url: str, redis_url: str) -> AsyncIterator[Pair]:
    async with (
        model_server() as model,
        _tools("first", database_url, redis_url, model.url) as first,
        _tools("second", database_url, redis_url, model.url) as second,
    ):
        model.default = offline()
        key = await create_key(first.db, "alice@example.org", "tests", None)
        assert key
        user_id = await first.db.fetchval("SELECT id FROM users")
        yield Pair(first, second, model, user_id)


@asynccontextmanager
async def _tools(name: str, database_url: str, redis_url: str, model_url: str) -> AsyncIterator[Tools]:
    async with (
        open_database(Pool(database_url, 4, name, behind_transaction_pooler=is_pooled(database_url))) as db,
        open_queue(redis_url) as queue,
        open_provider(Endpoint("offline", model_url)) as provider,
        open_recorder(db, queue) as recorder,
        open_leases(db, queue, name, LEASE) as leases,
    ):
        yield Tools(db, queue, provider, recorder, leases)


@pytest.mark.fault("F23")
async def test_a_draft_run_twice_leaves_the_same_rows_and_pays_once(pair: Pair) -> None:
    started = await pair.start()
    await draft(pair.first, started.run_id)
    calls, rows = len(pair.model.calls), await _rows(pair.first.db)
    await draft(pair.first, started.run_id)
    await draft(pair.second, started.run_id)
    assert len(pair.model.calls) == calls
    assert await _rows(pair.first.db) == rows


@pytest.mark.fault("F23")
async def test_a_draft_delivered_to_two_workers_at_once_is_drafted_by_one(pair: Pair) -> None:
    started = await pair.start()
    await asyncio.gather(*(draft(tools, started.run_id) for tools in (pair.first, pair.second) * 3))
    assert _most_for_one_prompt(pair.model) == 1
    assert await pair.first.db.fetchval("SELECT count(*) FROM roadmap_versions") == 1


@pytest.mark.fault("F23")
async def test_a_concept_written_twice_and_by_two_workers_at_once_is_paid_once(pair: Pair) -> None:
    started = await pair.start()
    await draft(pair.first, started.run_id)
    concepts = await pair.concepts(started.run_id)
    jobs = [
        write_concept(tools, started.run_id, concept) for concept in concepts for tools in (pair.first, pair.second)
    ]
    await asyncio.gather(*jobs)
    calls, rows = len(pair.model.calls), await _rows(pair.first.db)
    await write_concept(pair.first, started.run_id, concepts[0])
    assert len(pair.model.calls) == calls
    assert await _rows(pair.first.db) == rows
    assert _most_for_one_prompt(pair.model) == 1
    await check_run(pair.first.db, show_id(Prefix.ROADMAP, started.roadmap_id))


@pytest.mark.fault("F23")
async def test_a_log_batch_delivered_twice_and_to_two_workers_at_once_is_stored_once(pair: Pair) -> None:
    """With an entry that PostgreSQL refuses, and beside a batch that nobody can read."""
    entries = [_entry(f"entry {number}") for number in range(50)]
    good, bad = pack(orjson.dumps([*entries, _entry("refused", at="someday")]).decode()), "zAAAA"
    jobs = {job_id(new_id()): good, job_id(new_id()): bad}
    async with open_committer(pair.first.db) as first, open_committer(pair.second.db) as second:
        contexts = [
            {"committer": committer, "job_id": job, "job_try": 1} for committer in (first, second) for job in jobs
        ]
        await asyncio.gather(*(logs.write_log_batch(ctx, jobs[str(ctx["job_id"])]) for ctx in contexts * 2))
        stored = await _log_rows(pair.first.db)
        await logs.write_log_batch(contexts[0], good)
        await logs.write_log_batch(contexts[1], bad)
    assert sorted(row["message"] for row in stored["execution_log"]) == sorted(entry["message"] for entry in entries)
    assert len(stored["log_dead_letters"]) == 2
    assert await _log_rows(pair.first.db) == stored


def test_every_job_is_run_twice_here() -> None:
    tests = {
        "draft": test_a_draft_run_twice_leaves_the_same_rows_and_pays_once,
        "write_concept": test_a_concept_written_twice_and_by_two_workers_at_once_is_paid_once,
        "write_log_batch": test_a_log_batch_delivered_twice_and_to_two_workers_at_once_is_stored_once,
    }
    assert set(tests) == {function.name for function in (*content.FUNCTIONS, *logs.FUNCTIONS)}


async def test_a_plan_whose_run_is_canceled_in_the_same_moment_leaves_nothing_to_sweep(pair: Pair) -> None:
    """The cancellation sees no piece yet, and the plan's commit comes first."""
    started = await pair.start()
    await draft(pair.first, started.run_id)
    await pair.first.db.execute("UPDATE runs SET status = 'canceled', finished_at = now()")
    await pair.first.db.execute("UPDATE content SET due_at = now()")
    await Sweeper(pair.first.db, pair.first.queue, 1.0).sweep()
    assert await pair.first.db.fetchval("SELECT count(*) FROM content WHERE due_at IS NOT NULL") == 0


@pytest.mark.slow
async def test_a_worker_that_froze_in_a_transaction_holds_the_others_up_for_seconds_only(pair: Pair) -> None:
    started = await pair.start()
    await draft(pair.first, started.run_id)
    concepts = await pair.concepts(started.run_id)
    with pytest.raises(Outage):
        async with asyncio.timeout(15), pair.second.db.transaction() as tx:
            await lock_run(tx, started.run_id)
            # More than its pool has connections: all of them wait for the run.
            await asyncio.gather(*(write_concept(pair.first, started.run_id, concept) for concept in concepts))
            await lock_run(tx, started.run_id)
    await _write_all(pair, started, random.Random(0))  # what met a full pool comes back later
    await check_run(pair.first.db, show_id(Prefix.ROADMAP, started.roadmap_id))


@pytest.mark.parametrize("seed", range(int(os.environ.get("SEEDS", "1"))))
async def test_settling_canceling_heartbeats_and_sweeping_never_block_each_other_for_good(
    pair: Pair, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(seed)
    pair.model.default = offline(0.02)
    runs = [await pair.start() for _ in range(6)]
    await asyncio.gather(*(draft(pair.first, started.run_id) for started in runs))
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        disturbing = [group.create_task(_disturb(tools)) for tools in (pair.first, pair.second)]
        await asyncio.gather(*(_write_all(pair, started, chance) for started in runs), _cancel(pair, runs[:3], chance))
        for task in disturbing:
            task.cancel()
    assert "another transaction was in the way" not in capsys.readouterr().out  # a deadlock, or a lost race
    for started in runs[3:]:
        await check_run(pair.first.db, show_id(Prefix.ROADMAP, started.roadmap_id))
    for started in runs[:3]:
        status = await pair.first.db.fetchval("SELECT status FROM runs WHERE id = $1", started.run_id)
        await check_run(pair.first.db, show_id(Prefix.ROADMAP, started.roadmap_id), f"run.{status}")
        assert status in {"canceled", "succeeded"}


async def _write_all(pair: Pair, started: Started, chance: random.Random) -> None:
    """Every concept by both workers, again until nothing is open: a thief's sweep may have taken a claim."""
    while concepts := await _open_concepts(pair.first.db, started.run_id):
        chance.shuffle(concepts)
        await asyncio.gather(
            *(
                write_concept(tools, started.run_id, concept)
                for concept in concepts
                for tools in (pair.first, pair.second)
            )
        )


async def _disturb(tools: Tools) -> None:
    """Heartbeats and sweeps without a pause."""
    sweeper = Sweeper(tools.db, tools.queue, 0.0)
    while True:
        await tools.leases._extend()
        await sweeper.sweep()
        await asyncio.sleep(0)


async def _cancel(pair: Pair, runs: list[Started], chance: random.Random) -> None:
    for started in runs:
        await asyncio.sleep(chance.uniform(0, 0.3))
        async with pair.first.db.transaction() as tx:
            await cancel_run(tx, pair.user_id, started.run_id)
        await announce_cancellation(pair.first.queue, started.roadmap_id, started.run_id)


async def _open_concepts(db: Database, run_id: UUID) -> list[UUID]:
    found = await db.fetch(
        "SELECT DISTINCT concept_id FROM content WHERE run_id = $1 AND status IN ('pending', 'writing')"
        " AND due_at IS NOT NULL",
        run_id,
    )
    return [row["concept_id"] for row in found]


async def _rows(db: Database) -> list[dict[str, object]]:
    tables = ("runs", "run_steps", "content", "events", "roadmap_versions", "model_calls")
    return [dict(row) for table in tables for row in await db.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")]


async def _log_rows(db: Database) -> dict[str, list[dict[str, object]]]:
    tables = ("execution_log", "log_dead_letters")
    return {table: [dict(row) for row in await db.fetch(f"SELECT * FROM {table} ORDER BY id, at")] for table in tables}


def _entry(message: str, at: str = "2026-11-21T12:00:00.000001+00:00") -> dict[str, object]:
    ids = {"id": str(new_id()), "run_id": str(new_id()), "concept_id": None, "step": None}
    said = {"level": "info", "category": "run", "message": message, "details": {}, "duration_ms": None}
    return {**ids, "at": at, **said}


def _most_for_one_prompt(model: ModelServer) -> int:
    return max(Counter(call.prompt for call in model.calls).values())
