"""`roadmap check`: what an operator asks first."""

import asyncio
import os
from pathlib import Path

from stack import PROGRAM, open_stack

from roadmap.database import Database


async def check(database_url: str, redis_url: str) -> tuple[int, dict[str, str]]:
    """The exit code, and each line's words by its name."""
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        "check",
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url},
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    lines = [line.split("  ", 1) for line in out.decode().splitlines()]
    assert process.returncode is not None
    return process.returncode, {name.strip(): words.strip() for name, *rest in lines for words in rest}


async def test_it_misses_a_worker_on_each_queue(tmp_path: Path, database_url: str, redis_url: str) -> None:
    code, lines = await check(database_url, redis_url)
    assert code == 1
    assert lines["postgresql"] == lines["redis"] == lines["schema"] == "ok"
    assert lines["worker on content"] == lines["worker on logs"] == "none is alive"
    async with open_stack(tmp_path, database_url, redis_url) as stack:
        await stack.start("content", "logs")
        code, lines = await check(database_url, redis_url)
        assert (code, lines["worker on content"], lines["worker on logs"]) == (0, "ok", "ok")


async def test_of_a_schema_that_is_behind_it_says_so_and_asks_no_further(
    database_url: str, redis_url: str, database: Database
) -> None:
    await database.execute("DROP TABLE workers")
    await database.execute("DELETE FROM schema_migrations WHERE version >= 6")
    code, lines = await check(database_url, redis_url)
    assert code == 1
    assert "roadmap migrate" in lines["schema"]
    assert "worker on content" not in lines
