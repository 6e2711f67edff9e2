"""`roadmap queues` as an operator meets it."""

import asyncio
import json
import os
import sys
from pathlib import Path

from roadmap.audit.store import Filters, list_entries
from roadmap.database import Database

PROGRAM = Path(sys.executable).with_name("roadmap")


async def roadmap(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "queues", *arguments, env=os.environ | environment, stdout=-1, stderr=-1
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_queue_is_paused_listed_and_resumed(database_url: str, redis_url: str, database: Database) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    code, out, err = await roadmap(environment, "pause", "content")
    assert (code, err) == (0, "")
    assert "content is paused" in out
    content, logs = json.loads((await roadmap(environment, "list", "--json"))[1])
    assert (content["name"], content["paused_by"], logs["paused_by"]) == ("content", "command line", None)
    assert "goes on" in (await roadmap(environment, "resume", "content"))[1]
    entries = await list_entries(database, Filters(), None, 10)
    assert [(one.actor, one.action, one.subject) for one in entries] == [
        ("command line", "queue_resumed", "content"),
        ("command line", "queue_paused", "content"),
    ]
