"""`roadmap dead-jobs` as an operator meets it."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from roadmap.accounts.store import ensure_user
from roadmap.audit.store import Filters, list_entries
from roadmap.database import Database
from roadmap.dead_jobs.model import Death
from roadmap.dead_jobs.service import bury_unexecuted
from roadmap.dead_jobs.store import Work, bury_work
from roadmap.execution_log.model import Category
from roadmap.execution_log.store import add_entry
from roadmap.ids import Prefix, new_id, show_id
from roadmap.queue.model import Job, Unexecuted
from roadmap.roadmaps.model import Wishes
from roadmap.runs.service import insert_roadmap

PROGRAM = Path(sys.executable).with_name("roadmap")

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def roadmap(database_url: str, redis_url: str) -> Run:
    """Runs `roadmap dead-jobs …`; returns exit code, stdout and stderr."""
    environment = os.environ | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}

    async def run(*arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "dead-jobs", *arguments, env=environment, stdout=-1, stderr=-1
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    return run


async def _bury(db: Database) -> dict[str, str]:
    """Two that cannot be retried, one that can; their ids by their jobs'."""
    for job in (Job("unheard_of", "j1", ("a\nb",)), Job("unheard_of", "j2"), Job("draft", "j3", (new_id().hex,))):
        dead = Unexecuted(job.id, job.function, "unknown_function", job.payload(1))
        await bury_unexecuted(db, "content", dead)
    rows = await db.fetch("SELECT id, job_id FROM dead_jobs")
    return {row["job_id"]: show_id(Prefix.DEAD_JOB, row["id"]) for row in rows}


async def test_they_are_listed_as_a_table_as_json_and_by_group(roadmap: Run, database: Database) -> None:
    code, out, _ = await roadmap("list")
    assert (code, out.split()[:3], len(out.splitlines())) == (0, ["id", "died_at", "attempts"], 1)
    ids = await _bury(database)
    code, out, _ = await roadmap("list", "--function", "unheard_of")
    header, *lines = out.splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted([ids["j1"], ids["j2"]])
    assert {line.index("unknown_function") for line in lines} == {header.index("code")}
    code, out, _ = await roadmap("list", "--json", "--limit", "2")
    shown = json.loads(out)
    assert len(shown) == 2
    assert {one["status"] for one in shown} == {"dead"}
    code, out, _ = await roadmap("groups")
    assert [line.split()[1] for line in out.splitlines()] == ["count", "2", "1"]
    code, out, _ = await roadmap("list", "--status", "retried", "--json")
    assert json.loads(out) == []


async def test_a_reader_who_has_seen_enough_is_no_fault(database_url: str, redis_url: str) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    environment = os.environ | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "dead-jobs", "list", env=environment, stdout=writes, stderr=-1
    )
    os.close(writes)
    assert (await process.communicate())[1] == b""
    assert process.returncode == 0


async def test_one_is_shown_with_its_payload_and_a_stranger_is_not_found(roadmap: Run, database: Database) -> None:
    ids = await _bury(database)
    code, out, _ = await roadmap("show", ids["j1"])
    assert code == 0
    assert "{'args': ['a\\nb']}" in out
    assert "no traceback" in out
    for stranger in (f"dead_{new_id().hex}", "nonsense"):
        assert await roadmap("show", stranger) == (1, "", "roadmap: no such dead job\n")


async def test_what_a_stranger_wrote_moves_nothing_on_the_terminal(roadmap: Run, database: Database) -> None:
    ids = await _bury(database)
    hostile = "\x1b]0;owned\x07\x1b[2Jgone\r\x9b31m\u202e\nlearner       root"
    await database.execute("UPDATE dead_jobs SET message = $1, traceback = $1 || E'\\n\\tat home'", hostile)
    for arguments in (("list",), ("groups",), ("show", ids["j1"])):
        code, out, _ = await roadmap(*arguments)
        assert code == 0
        assert [character for character in out if character in "\x1b\x07\r\x9b\u202e"] == []
        assert "\\x1b]0;owned\\x07\\x1b[2J" in out
    _, out, _ = await roadmap("show", ids["j1"])
    fields, *_, traceback = out.split("\n\n")
    assert [line.split()[1] for line in fields.splitlines() if line.startswith("learner")] == ["-"]
    assert traceback.splitlines()[1:] == ["learner       root", "\tat home"]


async def test_retry_and_discard_say_what_was_done_and_what_was_left(roadmap: Run, database: Database) -> None:
    ids = await _bury(database)
    code, out, _ = await roadmap("retry", "--all")
    *skipped, summary = out.splitlines()
    assert (code, summary) == (1, "1 retried, 2 left")
    assert {line.split("  ")[0] for line in skipped} == {ids["j1"], ids["j2"]}
    code, out, _ = await roadmap("retry", ids["j3"])
    assert (code, out.splitlines()[-1]) == (1, "0 retried, 1 left"), "it was retried before"
    group = await database.fetchval("SELECT fingerprint FROM dead_jobs WHERE job_id = 'j1'")
    assert (await roadmap("discard", "--fingerprint", group))[:2] == (0, "2 discarded, 0 left\n")
    assert (await roadmap("retry", "--all"))[:2] == (0, "0 retried, 0 left\n")
    rows = await database.fetch("SELECT job_id, status, resolved_by FROM dead_jobs ORDER BY job_id")
    assert [tuple(row) for row in rows] == [
        ("j1", "discarded", "cli"),
        ("j2", "discarded", "cli"),
        ("j3", "retried", "cli"),
    ]
    audited = await list_entries(database, Filters(), None, 10)
    assert [(row.action, row.actor, row.subject, row.details) for row in audited] == [
        ("dead_jobs_retried", "command line", "all dead jobs", {"done": 0, "left": 0}),
        ("dead_jobs_discarded", "command line", f"group {group}", {"done": 2, "left": 0}),
        ("dead_jobs_retried", "command line", ids["j3"], {"done": 0, "left": 1}),
        ("dead_jobs_retried", "command line", "all dead jobs", {"done": 1, "left": 2}),
    ]


async def test_work_of_a_run_is_shown_with_the_last_lines_of_its_log(roadmap: Run, database: Database) -> None:
    started = await insert_roadmap(database, await ensure_user(database, new_id(), "ada@example.org"), Wishes("SQL"))
    death = Death("plan_rejected", "PlanRejected", "too few stages", None, "f" * 16)
    async with database.transaction() as tx:
        await add_entry(tx, started.run_id, Category.RUN, "drafting failed\n  a second line", {})
        await bury_work(tx, Work("content", "draft", {"args": []}, 3, started.run_id), death)
    dead_job_id = await database.fetchval("SELECT id FROM dead_jobs")
    _, out, _ = await roadmap("show", show_id(Prefix.DEAD_JOB, dead_job_id))
    _, log, _ = out.split("\n\n")
    title, first, second = log.splitlines()
    assert (title, first.split()[1:]) == ("the log of its run, the last lines", ["info", "drafting", "failed"])
    assert second.startswith(" " * 14)
