"""`roadmap admin` and `roadmap keys` as an operator meets them, and what `web` makes of the settings about accounts."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from operators import OLGA, PASSWORD, VERA, sign_in
from stack import api_client, open_stack
from waiting import eventually

from roadmap.accounts.keys import create_key
from roadmap.accounts.model import Account
from roadmap.accounts.passwords import open_passwords
from roadmap.accounts.store import find_account
from roadmap.audit.store import Filters, list_entries
from roadmap.database import Database

PROGRAM = Path(sys.executable).with_name("roadmap")
ANOTHER = "another long passphrase"

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def roadmap(database_url: str) -> Run:
    """Runs `roadmap …`; returns exit code, stdout and stderr."""
    environment = os.environ | {"DATABASE_URL": database_url}

    async def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            PROGRAM, *arguments, env=environment, stdin=-1, stdout=-1, stderr=-1
        )
        out, err = await process.communicate(stdin.encode())
        return process.returncode or 0, out.decode(), err.decode()

    return run


async def account(db: Database, email: str) -> Account | None:
    return await find_account(db, email)


async def opens(db: Database, email: str, password: str) -> bool:
    found = await account(db, email)
    assert found is not None
    with open_passwords() as passwords:
        return await passwords.verify(found.password_hash, password)


async def test_accounts_are_made_changed_and_listed(roadmap: Run, database: Database) -> None:
    made = await roadmap("admin", "create", "--email", OLGA, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert made == (0, f"{OLGA}: operator\n", "")
    assert await opens(database, OLGA, PASSWORD)
    arguments = ("--email", OLGA, "--password-stdin")
    assert (await roadmap("admin", "password", *arguments, stdin=ANOTHER))[0] == 0
    assert await opens(database, OLGA, ANOTHER)
    await create_key(database, OLGA, "laptop", None, operator=True)
    role = await roadmap("admin", "role", "--email", OLGA, "--role", "viewer")
    assert role == (0, "operator's API keys revoked: 1\n", "")
    code, out, _ = await roadmap("admin", "list")
    header, line = out.splitlines()
    assert (code, header.split(), line.split()[:3]) == (
        0, ["email", "role", "password", "created_at"], [OLGA, "viewer", "set"],
    )  # fmt: skip
    rows = await list_entries(database, Filters(), None, 10)
    assert [(row.action, row.actor, row.subject) for row in reversed(rows)] == [
        ("account_created", "command line", OLGA),
        ("password_set", "command line", OLGA),
        ("key_created", "command line", OLGA),
        ("role_set", "command line", OLGA),
        ("key_revoked", "command line", OLGA),
    ]


async def test_what_cannot_be_is_said_in_one_line(roadmap: Run, database: Database) -> None:
    weak, silent, nobody, shown = await asyncio.gather(
        roadmap("admin", "create", "--email", OLGA, "--password-stdin", stdin="admin1234567\n"),
        roadmap("admin", "create", "--email", OLGA),
        roadmap("admin", "password", "--email", OLGA, "--password-stdin", stdin=PASSWORD),
        roadmap("admin", "create", "--email", OLGA, "--password", PASSWORD),
    )
    assert weak[0] == 1
    assert weak[2].startswith("roadmap: this password cannot be taken: ")
    assert "admin1234567" not in weak[2]
    assert silent[0] == 2
    assert "--password-stdin" in silent[2]
    assert nobody[0] == 1
    assert "nobody of this address may sign in" in nobody[2]
    assert (shown[0], shown[1]) == (2, "")  # no argument takes a password: others could read it
    assert await account(database, OLGA) is None


@pytest.mark.skipif(not hasattr(os, "login_tty"), reason="no terminals to open")
async def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(
    database: Database, database_url: str
) -> None:
    assert await at_a_terminal(database_url, [PASSWORD, ANOTHER]) == (1, ["Password: ", "Again: "])
    assert await account(database, OLGA) is None
    assert await at_a_terminal(database_url, [PASSWORD, PASSWORD]) == (0, ["Password: ", "Again: "])
    assert await opens(database, OLGA, PASSWORD)


async def at_a_terminal(database_url: str, answers: list[str]) -> tuple[int, list[str]]:
    """Exit code, and what was asked before each answer."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "admin", "create", "--email", OLGA,
        env=os.environ | {"DATABASE_URL": database_url}, preexec_fn=lambda: os.login_tty(theirs),
    )  # fmt: skip
    os.close(theirs)
    asked, seen = [], ""
    for answer in answers:
        seen = await _until_asked(ours)
        asked.append(seen.splitlines()[-1])
        os.write(ours, f"{answer}\n".encode())
    code = await process.wait()
    rest = _read(ours)
    assert not any(answer in seen + rest for answer in answers)
    os.close(ours)
    return code, asked


async def _until_asked(terminal: int) -> str:
    said = ""

    def look() -> bool:
        nonlocal said
        said += _read(terminal)
        return said.endswith(": ")

    await eventually(look, "it asks", within=60)
    return said


def _read(terminal: int) -> str:
    """What is there; nothing when whoever wrote is gone."""
    try:
        return os.read(terminal, 10_000).decode()
    except OSError:
        return ""


async def test_keys_are_listed_without_secrets_and_revoked_once(roadmap: Run, database: Database) -> None:
    code, secret, _ = await roadmap("keys", "create", "--email", VERA, "--name", "laptop", "--operator")
    assert (code, secret[:3]) == (0, "rk_")
    _, out, _ = await roadmap("keys", "list", "--email", VERA.upper())
    header, line = out.splitlines()
    shown = dict(zip(header.split(), line.split(), strict=True))
    assert (shown["email"], shown["name"], shown["operator"], shown["revoked_at"]) == (VERA, "laptop", "True", "-")
    assert secret.strip() not in out
    assert await roadmap("keys", "revoke", shown["id"]) == (0, "", "")
    for code, _, err in await asyncio.gather(*[roadmap("keys", "revoke", key) for key in (shown["id"], "key_1")]):
        assert (code, "no such key" in err) == (1, True)
    rows = await list_entries(database, Filters(), None, 10)
    assert [(row.action, row.subject, row.details["key"]) for row in rows] == [
        ("key_revoked", VERA, shown["id"]),
        ("key_created", VERA, shown["id"]),
    ]


async def test_web_creates_the_first_operator_and_believes_the_proxies_that_it_is_told_of(
    tmp_path: Path, database: Database, database_url: str, redis_url: str
) -> None:
    first = {"ADMIN_EMAIL": OLGA, "ADMIN_PASSWORD": PASSWORD, "HOST": ""}  # one socket for IPv4 and IPv6
    async with open_stack(tmp_path, database_url, redis_url, **first) as stack:
        weak = await stack.launch("web:weak", ADMIN_PASSWORD="changeme12345")
        bare = await stack.launch("web:bare", ENVIRONMENT="production")
        assert [await weak.exits(), await bare.exits()] == [2, 2]
        assert "ADMIN_PASSWORD" in weak.text()
        assert "changeme12345" not in weak.text()
        assert "JWT_SECRET_KEY is not set" in bare.text()
        assert await account(database, OLGA) is None
        await asyncio.gather(
            stack.start("web", TRUSTED_PROXIES="127.0.0.0/8"), stack.start("web:trusting_nobody")
        )  # fmt: skip
        async with api_client(stack.web_url) as client:
            assert await _address_after_sign_in(client, database) == "203.0.113.7"
        assert PASSWORD not in stack["web"].text()
        created = [stack[name].lines("first_operator_created") for name in ("web", "web:trusting_nobody")]
        assert sum(map(len, created)) == 1
        async with api_client(stack.url("web:trusting_nobody")) as client:
            assert await _address_after_sign_in(client, database) in {"127.0.0.1", "::ffff:127.0.0.1"}


async def _address_after_sign_in(client: httpx.AsyncClient, db: Database) -> str | None:
    client.headers["x-forwarded-for"] = "198.51.100.1, 203.0.113.7, 127.0.0.3"
    assert (await sign_in(client, OLGA)).status_code == 303
    return (await list_entries(db, Filters(), None, 1))[0].address
