"""The logs worker is killed around its commit: every entry that was sent is stored, and once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gate import commit_gate, locked_table
from history import History, Mark
from waiting import eventually
from whole import Whole, check_log, check_run, offline, open_whole, rows

WISHES = {"size": "small"}
ENTRIES = "SELECT message FROM execution_log JOIN runs ON runs.id = run_id WHERE roadmap_id = $1"


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url, LOG_LEVEL="debug") as opened:
        yield opened


@pytest.mark.fault("F7")
@pytest.mark.slow
async def test_a_killed_logs_worker_costs_no_entry_and_doubles_none(whole: Whole, history: History) -> None:
    whole.model.default = offline(0.15)
    await whole.stack.start("content", "logs")
    roadmap_id = await whole.create()
    for count in (8, 24):
        await whole.ready(count)
        history.fault("kill -9 logs")
        await whole.stack.kill("logs")
        await whole.stack.start("logs")
    await _check_log(whole, history, roadmap_id)


@pytest.mark.fault("F7")
async def test_a_logs_worker_killed_before_its_commit_costs_and_doubles_no_entry(
    whole: Whole, history: History
) -> None:
    """Its statement waits for the table, and has written nothing."""
    await whole.stack.start("content", "logs")
    async with locked_table(whole.database_url, "execution_log") as lock:
        roadmap_id = await whole.create(**WISHES)
        await lock.reached()
        await _kill(whole, history)
    await whole.stack.start("logs")
    await _check_log(whole, history, roadmap_id)


@pytest.mark.fault("F7")
async def test_a_logs_worker_killed_in_its_commit_costs_and_doubles_no_entry(whole: Whole, history: History) -> None:
    """Its rows are there, and nobody sees them yet."""
    async with commit_gate(whole.database_url, "execution_log") as gate:
        await gate.close()
        await whole.stack.start("content", "logs")
        roadmap_id = await whole.create(**WISHES)
        await gate.reached()
        await _kill(whole, history)
    await whole.stack.start("logs")
    await _check_log(whole, history, roadmap_id)


@pytest.mark.fault("F7")
async def test_a_logs_worker_killed_after_its_commit_costs_and_doubles_no_entry(whole: Whole, history: History) -> None:
    """The queue does not know, and delivers the batches again."""
    async with commit_gate(whole.database_url, "execution_log") as gate:
        await gate.close()
        await whole.stack.start("content", "logs")
        roadmap_id = await whole.create(**WISHES)
        await gate.reached()
        with history.trouble("redis takes no writes", Mark.AWAY):
            async with whole.no_writes_in_redis():
                await gate.open()
                await eventually(lambda: rows(whole.db, ENTRIES, roadmap_id), "entries are stored")
                await _kill(whole, history)
                assert await whole.redis.zcard("logs") > 0
    await whole.stack.start("logs")
    await _check_log(whole, history, roadmap_id)


async def _kill(whole: Whole, history: History) -> None:
    history.fault("kill -9 logs", Mark.HIDES)
    await whole.stack.kill("logs")


async def _check_log(whole: Whole, history: History, roadmap_id: str) -> None:
    """What the content worker noted is what is stored, entry by entry. It lives, so nothing is excused."""
    await whole.finish(roadmap_id)
    await check_run(whole.db, roadmap_id)
    await check_log(whole.db, roadmap_id)
    figures = await history.check()
    assert figures.entries > figures.pieces
    assert (figures.lost, figures.doubled, figures.excused) == (0, 0, 0)
