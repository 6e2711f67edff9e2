"""What real workers find in their queues and will not execute ends as a dead job, and they go on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pooler import direct
from redis.asyncio import Redis
from stack import Stack, open_stack
from waiting import eventually

from roadmap.database import Database
from roadmap.ids import new_id
from roadmap.queue.client import open_queue
from roadmap.queue.model import Job, dump_job


@pytest.fixture
async def stack(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path, database_url, redis_url, LEASE="2", REDIS_NAMESPACE="ours") as opened:
        yield opened


async def _found(db: Database, count: int) -> dict[str, dict[str, Any]]:
    async def look() -> list[Any]:
        rows = await db.fetch("SELECT * FROM dead_jobs")
        return rows if len(rows) >= count else []

    rows = await eventually(look, f"{count} dead jobs", within=60)
    return {row["job_id"]: dict(row) for row in rows}


async def test_strangers_garbage_and_old_payloads_become_dead_jobs_and_nothing_of_them_is_executed(
    stack: Stack, database: Database, redis_url: str
) -> None:
    await stack.start("content", "logs")
    async with open_queue(redis_url, namespace="ours", timeout=5) as queue, Redis.from_url(redis_url) as redis:
        garbage = {
            "pickle": b"\x80\x04\x8c\x08builtins\x8c\x05print\x93\x8c\x05gotchaq\x85R.",
            "noise": b"\xff\x00{",
            "foreign": dump_job({"f": "draft", "a": "x", "k": {}, "t": None, "et": 1}),
        }
        for name, payload in garbage.items():
            await redis.set(f"arq:job:{name}", payload)
        jobs = [Job("unheard_of", "stranger", ("a", 1)), Job("draft", "old", ("a", "b")), Job("draft", "bug", ("a",))]
        await queue.offer("content", jobs)
        await queue.offer("logs", [Job("draft", "astray", (new_id().hex,))])
        await redis.zadd("ours:content", {**dict.fromkeys(garbage, 1), "expired": 1, b"\xff": 1})
        found = await _found(database, 9)

        async def drained() -> bool:
            return not await queue.depth("content") and not await queue.depth("logs")

        await eventually(drained, "the queues are empty")
    assert {job_id: (row["queue"], row["function"], row["code"]) for job_id, row in found.items()} == {
        "pickle": ("content", None, "undecodable"),
        "noise": ("content", None, "undecodable"),
        "foreign": ("content", None, "undecodable"),
        "\\xff": ("content", None, "undecodable"),
        "expired": ("content", None, "expired"),
        "stranger": ("content", "unheard_of", "unknown_function"),
        "old": ("content", "draft", "arguments"),
        "bug": ("content", "draft", "internal"),
        "astray": ("logs", "draft", "unknown_function"),
    }
    assert {name: found[name]["raw"] for name in garbage} == garbage
    assert found["stranger"]["payload"] == {"args": ["a", 1]}
    assert (found["bug"]["error_class"], found["bug"]["payload"]) == ("ValueError", {"args": ["a"]})
    assert "badly formed hexadecimal UUID string" in found["bug"]["traceback"]
    assert all(row["message"] for row in found.values())
    assert "gotcha" not in stack["content"].text()
    assert [await stack.terminate("content"), await stack.terminate("logs")] == [0, 0]


@pytest.mark.slow
async def test_while_postgresql_refuses_a_dead_job_waits_in_the_queue(
    stack: Stack, database: Database, database_url: str, redis_url: str
) -> None:
    await stack.start("content")
    async with open_queue(redis_url, namespace="ours", timeout=5) as queue:
        blocking = await asyncpg.connect(direct(database_url))  # without our pool's limits on transactions
        try:
            async with blocking.transaction():
                await blocking.execute("LOCK TABLE dead_jobs")
                await queue.offer("content", [Job("unheard_of", "stranger")])
                await stack["content"].says("dead_job_not_recorded")
                assert await queue.depth("content") == 1
        finally:
            await blocking.close()
        assert list(await _found(database, 1)) == ["stranger"]

        async def drained() -> bool:
            return await queue.depth("content") == 0

        await eventually(drained, "it is gone from the queue")
