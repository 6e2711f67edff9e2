"""Each process has one row while it lives; one that ends as it should takes it away, one that dies leaves it."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from stack import Stack, open_stack
from waiting import eventually

from roadmap import __version__
from roadmap.database import Database, Pool, open_database
from roadmap.heartbeat import Process, Vitals, count_alive, forget_dead_processes, open_heartbeat, resident_bytes

FORGOTTEN = "UPDATE workers SET seen_at = seen_at - make_interval(secs => $1)"


async def rows(db: Database) -> list[dict[str, Any]]:
    return [dict(row) for row in await db.fetch("SELECT *, now() AS now FROM workers ORDER BY started_at")]


async def names(db: Database) -> list[str]:
    return [row["name"] for row in await rows(db)]


@pytest.fixture
async def stack(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path, database_url, redis_url) as opened:
        yield opened


async def test_a_process_says_what_it_knows_of_itself(database: Database) -> None:
    def vitals() -> Vitals:
        return Vitals(loop_lag=0.25, running=3, polled_ago=10)

    async with open_heartbeat(database, "content-1", Process.CONTENT, vitals):
        await eventually(lambda: names(database), "the first heartbeat")
        [row] = await rows(database)
    assert (row["name"], row["process"]) == ("content-1", "content")
    assert (row["host"], row["pid"], row["version"]) == (socket.gethostname(), os.getpid(), __version__)
    assert (row["running"], row["loop_lag_ms"]) == (3, 250)
    assert (row["now"] - row["seen_at"]).total_seconds() < 5
    assert 9.5 < (row["seen_at"] - row["polled_at"]).total_seconds() < 10.5
    assert row["memory_bytes"] > 10_000_000
    assert 0 <= row["connections_used"] <= row["connections"] <= 5
    assert await rows(database) == []


async def test_a_heartbeat_renews_its_row_and_no_other(database: Database) -> None:
    lag = 0.1
    async with (
        open_heartbeat(database, "web-1", Process.WEB, lambda: Vitals(lag)),
        open_heartbeat(database, "web-2", Process.WEB, lambda: Vitals(0)),
    ):

        async def both() -> bool:
            return len(await rows(database)) == 2

        await eventually(both, "both are there")
        await database.execute(FORGOTTEN + " WHERE name = 'web-1'", 1000)
        before = {row["name"]: row for row in await rows(database)}
        lag = 0.2

        async def renewed() -> bool:
            return {row["name"]: row["loop_lag_ms"] for row in await rows(database)} == {"web-1": 200, "web-2": 0}

        await eventually(renewed, "the next heartbeat")
        after = {row["name"]: row for row in await rows(database)}
    assert after["web-1"]["seen_at"] > before["web-1"]["seen_at"]
    assert after["web-1"]["started_at"] == before["web-1"]["started_at"]
    assert await names(database) == []


async def test_who_said_nothing_for_15_seconds_is_not_alive_and_is_forgotten_after_a_day(database: Database) -> None:
    async with (
        open_heartbeat(database, "logs-1", Process.LOGS, lambda: Vitals(0)),
        open_heartbeat(database, "content-1", Process.CONTENT, lambda: Vitals(0)),
    ):

        async def alive() -> dict[Process, int]:
            return await count_alive(database)

        await eventually(alive, "they are heard of")
        await eventually(lambda: _are(database, 2), "both")
        await database.execute(FORGOTTEN + " WHERE process = 'logs'", 14)
        assert await alive() == {Process.LOGS: 1, Process.CONTENT: 1}
        await database.execute(FORGOTTEN + " WHERE process = 'logs'", 2)
        assert await alive() == {Process.CONTENT: 1}
        await forget_dead_processes(database)
        assert len(await rows(database)) == 2
        await database.execute(FORGOTTEN + " WHERE process = 'logs'", 24 * 3600)
        await forget_dead_processes(database)
        assert await names(database) == ["content-1"]

        async def back() -> bool:
            return await alive() == {Process.LOGS: 1, Process.CONTENT: 1}

        await eventually(back, "one that was forgotten and lives comes again")


async def _are(db: Database, count: int) -> bool:
    return len(await rows(db)) == count


async def test_what_happens_in_the_block_is_what_leaves_it_and_the_row_is_gone(database: Database) -> None:
    async def fail() -> None:
        async with open_heartbeat(database, "web-1", Process.WEB, lambda: Vitals(0)):
            await eventually(lambda: names(database), "the first heartbeat")
            raise ValueError("boo")

    with pytest.raises(ExceptionGroup) as caught:
        await fail()
    assert caught.group_contains(ValueError, match="boo")
    task = asyncio.create_task(_beat_for_ever(database))
    await eventually(lambda: names(database), "the first heartbeat")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await rows(database) == []


async def _beat_for_ever(db: Database) -> None:
    async with open_heartbeat(db, "web-2", Process.WEB, lambda: Vitals(0)):
        await asyncio.Event().wait()


async def test_a_process_ends_in_time_although_its_row_cannot_be_removed(database_url: str) -> None:
    async with open_database(Pool(database_url, size=1, name="test")) as db, AsyncExitStack() as held:
        async with open_heartbeat(db, "web-1", Process.WEB, lambda: Vitals(0)):
            await eventually(lambda: names(db), "the first heartbeat")
            await held.enter_async_context(db.transaction())
            began = time.monotonic()
        assert time.monotonic() - began < 10


def test_memory_is_counted_in_bytes() -> None:
    before = resident_bytes()
    ballast = bytearray(b"1") * 50_000_000
    assert 40_000_000 < resident_bytes() - before < 200_000_000
    assert ballast


async def test_each_service_has_its_heartbeat_and_takes_it_away_when_it_is_stopped(
    stack: Stack, database: Database
) -> None:
    await stack.start("web", "content", "logs")
    await eventually(lambda: _are(database, 3), "three heartbeats")
    found = {row["process"]: row for row in await rows(database)}
    assert set(found) == {"web", "content", "logs"}
    assert found["web"]["polled_at"] is None
    for name in ("content", "logs"):
        assert (found[name]["now"] - found[name]["polled_at"]).total_seconds() < 40
    assert {name: row["pid"] for name, row in found.items()} == {name: stack[name].pid for name in found}
    for name in ("content", "logs", "web"):
        assert await stack.terminate(name) == 0
        assert name not in {row["process"] for row in await rows(database)}


async def test_a_killed_process_leaves_its_row_and_its_successor_has_another(stack: Stack, database: Database) -> None:
    await stack.start("content")
    [first] = await eventually(lambda: names(database), "the heartbeat")
    await stack.kill("content")
    await stack.start("content")
    await eventually(lambda: _are(database, 2), "the successor's heartbeat")
    assert await stack.terminate("content") == 0
    assert await names(database) == [first]
