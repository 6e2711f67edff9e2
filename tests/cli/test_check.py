"""`roadmap check`: what an operator asks first."""

import asyncio
import os
from pathlib import Path

import pytest
from model_server import model_server, status
from operators import OLGA, PASSWORD, add_account
from stack import PROGRAM, open_stack

from roadmap.accounts.model import Role
from roadmap.database import Database


async def check(database_url: str, redis_url: str, *words: str, **environment: str) -> tuple[int, dict[str, str]]:
    """The exit code, and each line's words by its name."""
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        "check",
        *words,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url, **environment},
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    lines = [line.split("  ", 1) for line in out.decode().splitlines()]
    assert process.returncode is not None
    return process.returncode, {name.strip(): words.strip() for name, *rest in lines for words in rest}


async def test_it_misses_a_worker_on_each_queue(tmp_path: Path, database_url: str, redis_url: str) -> None:
    code, lines = await check(database_url, redis_url)
    assert code == 1
    assert lines["postgresql"] == lines["redis"] == lines["schema"] == "ok"
    assert lines["worker on content"] == "none is alive: start `roadmap content`, or look at its log"
    assert lines["worker on logs"] == "none is alive: start `roadmap logs`, or look at its log"
    assert lines["postgresql version"][0].isdigit()
    assert lines["redis version"][0].isdigit()
    assert lines["redis maxmemory-policy"] == "noeviction"
    assert lines["redis appendonly"].startswith(("yes", "no: "))
    assert lines["queue content"] == "0 waiting"
    assert "model" not in lines
    async with open_stack(tmp_path, database_url, redis_url) as stack:
        await stack.start("content", "logs")
        code, lines = await check(database_url, redis_url)
        assert (code, lines["worker on content"], lines["worker on logs"]) == (0, "ok", "ok")


async def test_it_finds_what_would_keep_web_from_starting(
    database_url: str, redis_url: str, database: Database
) -> None:
    production = {"ENVIRONMENT": "production", "LLM_PROVIDER": "offline"}
    code, lines = await check(database_url, redis_url, JWT_SECRET_KEY="short", **production)
    assert code == 1
    assert lines["session key"].startswith("JWT_SECRET_KEY has fewer than 32 characters")
    _, lines = await check(database_url, redis_url, JWT_SECRET_KEY="short")
    assert lines["session key"] == "ok"
    assert "first operator" not in lines
    first = {"ADMIN_EMAIL": OLGA, "ADMIN_PASSWORD": "password1234"}
    _, lines = await check(database_url, redis_url, **production, **first)
    assert lines["session key"].startswith("not set: ")
    assert "this password cannot be taken" in lines["first operator"]
    assert "password1234" not in str(lines)
    _, lines = await check(database_url, redis_url, **first | {"ADMIN_PASSWORD": PASSWORD})
    assert lines["first operator"] == "ok"
    await add_account(database, OLGA, Role.VIEWER)
    _, lines = await check(database_url, redis_url, **first | {"ADMIN_PASSWORD": PASSWORD})
    assert "is no operator" in lines["first operator"]


async def test_of_a_schema_that_is_behind_it_says_so_and_asks_no_further(
    database_url: str, redis_url: str, database: Database
) -> None:
    await database.execute("DROP TABLE workers")
    await database.execute("DELETE FROM schema_migrations WHERE version >= 6")
    code, lines = await check(database_url, redis_url)
    assert code == 1
    assert "roadmap migrate" in lines["schema"]
    assert "worker on content" not in lines


async def test_the_model_is_asked_only_when_it_is_asked_for(database_url: str, redis_url: str) -> None:
    async with model_server() as model:
        named = {"LLM_BASE_URL": model.url, "LLM_API_KEY": "a-key-of-the-model"}
        model.default = lambda _: status(200, {}, ANSWER)
        _, lines = await check(database_url, redis_url, "--model", **named)
        assert lines["model"] == "ok"
        assert [call.purpose for call in model.calls] == ["check"]
        model.default = lambda _: status(401, {}, b'{"error": {"message": "wrong key a-key-of-the-model"}}')
        code, lines = await check(database_url, redis_url, "--model", **named)
        assert code == 1
        assert lines["model"] != "ok"
        assert "a-key-of-the-model" not in str(lines)


ANSWER = b'{"choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]}'


@pytest.mark.slow
async def test_what_does_not_answer_is_told_line_by_line() -> None:
    code, lines = await check("postgresql://roadmap:secret@127.0.0.1:1/x", "redis://127.0.0.1:1")
    assert code == 1
    assert lines["postgresql"] == lines["redis"] == "does not answer"
