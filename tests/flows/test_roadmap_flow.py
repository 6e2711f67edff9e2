"""From a goal to a finished roadmap, through real processes."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from stack import api_client, finish
from waiting import eventually
from whole import (
    Whole,
    check_ledger,
    check_log,
    check_queues,
    check_run,
    offline,
    open_whole,
    rows,
)

from roadmap.database import Database
from roadmap.runtime import needed_connections
from roadmap.settings import Settings

LAST_WORDS = """
SELECT message FROM execution_log JOIN runs ON runs.id = run_id WHERE roadmap_id = $1
ORDER BY at DESC, execution_log.id DESC LIMIT 1
"""
SAMPLES = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'roadmap-%'"
)


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url) as opened:
        await opened.stack.start("content", "logs")
        yield opened


async def test_a_goal_becomes_a_roadmap_whose_rows_events_log_and_ledger_agree(whole: Whole) -> None:
    await whole.stack.start("web", AUTH_MODE="none")
    async with api_client(whole.stack.web_url) as client:
        created = (await client.post("/v1/roadmaps", json={"goal": "Learn SQL in six weeks, 5 hours a week"})).json()
        roadmap = await finish(client, created["id"])
    pieces = await check_run(whole.db, created["id"])
    assert roadmap["status"] == "succeeded"
    assert len({piece["concept_id"] for piece in pieces}) >= 20
    assert len(pieces) == 3 * len({piece["concept_id"] for piece in pieces})
    await check_log(whole.db, created["id"])
    await eventually(lambda: _last_words(whole.db, created["id"]), "the log ends with the run's end")
    await check_ledger(whole, created["id"])
    await check_queues(whole.redis)


async def test_connections_stay_within_the_budget_while_a_hundred_concepts_are_written(whole: Whole) -> None:
    whole.model.default = offline(latency=0.02)
    settings = Settings(replicas_web=1)
    roadmaps = [await whole.create() for _ in range(4)]
    samples = []
    async with asyncio.TaskGroup() as group:
        ends = [group.create_task(whole.finish(roadmap_id)) for roadmap_id in roadmaps]
        while not all(end.done() for end in ends):
            samples.append(await whole.db.fetchval(SAMPLES))
            await asyncio.wait(ends, timeout=0.02)
    assert max(samples) <= needed_connections(settings)
    assert "the database does not answer" not in whole.stack["content"].text()


async def test_an_unknown_goal_a_chinese_one_sizes_and_kinds_and_a_near_deadline_all_succeed(whole: Whole) -> None:
    soon = (datetime.now(UTC) + timedelta(days=21)).date().isoformat()
    wishes: list[dict[str, Any]] = [
        {"goal": "Restore antique clocks"},
        {"goal": "学习 SQL，每周五小时", "language": "zh"},
        {"goal": "Learn Python", "size": "small"},
        {"goal": "Learn Python", "size": "large"},
        {"goal": "Learn Linux", "kinds": ["tutorial"]},
        {"goal": "Learn photography", "deadline": soon, "hours_per_week": 4},
    ]
    made = [await whole.create(**wish) for wish in wishes]
    counts = []
    for roadmap_id in made:
        assert (await whole.finish(roadmap_id))["status"] == "succeeded"
        pieces = await check_run(whole.db, roadmap_id)
        counts.append(len({piece["concept_id"] for piece in pieces}))
    assert counts[2] < counts[3]
    assert {
        piece["kind"] for piece in await rows(whole.db, "SELECT kind FROM content WHERE roadmap_id = $1", made[4])
    } == {"tutorial"}
    assert await _minutes(whole.db, made[5]) <= 3 * 4 * 60
    assert "\u4e00" <= max(await _title(whole.db, made[1])) <= "\u9fff"


async def test_stock_arq_serves_both_queues_and_ends_on_a_signal(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    async with open_whole(tmp_path, database_url, redis_url) as whole:
        arq = {name: await _stock(whole, tmp_path, name) for name in ("content", "logs")}
        try:
            roadmap_id = await whole.create()
            assert (await whole.finish(roadmap_id))["status"] == "succeeded"
            await check_run(whole.db, roadmap_id)
            await check_log(whole.db, roadmap_id)
            assert await _heard_of(whole.db) == {"content", "logs"}
            # One after the other, as a host does that drains the producers first.
            codes = [await _terminate(process) for process in arq.values()]
            assert await _heard_of(whole.db) == set()
        finally:
            for process in arq.values():
                with suppress(ProcessLookupError):
                    process.kill()
    text = "".join((tmp_path / f"arq-{name}.log").read_text() for name in arq)
    assert "Traceback" not in text
    assert all(code in {0, -signal.SIGTERM} for code in codes), text


async def _heard_of(db: Database) -> set[str]:
    """Processes with a heartbeat."""
    return {row["process"] for row in await db.fetch("SELECT process FROM workers")}


async def _last_words(db: Database, roadmap_id: str) -> bool:
    return [row["message"] for row in await rows(db, LAST_WORDS, roadmap_id)] == ["run succeeded"]


async def _stock(whole: Whole, folder: Path, name: str) -> asyncio.subprocess.Process:
    program = Path(sys.executable).with_name("arq")
    with (folder / f"arq-{name}.log").open("wb") as output:
        return await asyncio.create_subprocess_exec(
            program, f"workers.{name}.WorkerSettings", stdout=output, stderr=output, env=whole.stack._environment
        )


async def _terminate(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        return await process.wait()


async def _minutes(db: Database, roadmap_id: str) -> int:
    return int((await rows(db, "SELECT minutes FROM roadmap_versions WHERE roadmap_id = $1", roadmap_id))[0]["minutes"])


async def _title(db: Database, roadmap_id: str) -> str:
    return str((await rows(db, "SELECT title FROM roadmaps WHERE id = $1", roadmap_id))[0]["title"])
