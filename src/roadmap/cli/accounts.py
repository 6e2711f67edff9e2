"""`roadmap admin` and `roadmap keys`: who may sign in, and whose programs may ask."""

import asyncio
import getpass
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from roadmap.accounts import keys, service, store
from roadmap.accounts.model import Account, KeyLine, Role
from roadmap.accounts.passwords import open_passwords
from roadmap.accounts.strength import MOST_BYTES, check_email, check_password
from roadmap.api.answers import utc
from roadmap.audit.model import COMMAND_LINE
from roadmap.cli.rows import print_rows
from roadmap.database import Database, open_database
from roadmap.errors import Invalid, Misconfigured
from roadmap.ids import Prefix, parse_id, show_id
from roadmap.migrate import require_schema
from roadmap.runtime import Process, pool, require_database
from roadmap.settings import read_settings

__all__ = ["create", "create_key", "list_accounts", "list_keys", "revoke_key", "set_password", "set_role"]

MOST = 10_000
ACCOUNTS = ("email", "role", "password", "created_at")
KEYS = ("id", "email", "name", "operator", "created_at", "last_used_at", "expires_at", "revoked_at")


def create(arguments: Namespace) -> int:
    async def work(db: Database) -> None:
        with open_passwords() as passwords:
            role = Role(arguments.role)
            await service.create_account(db, passwords, arguments.email, password, role=role, actor=COMMAND_LINE)
        print(f"{arguments.email}: {role}")

    check_email(arguments.email)
    password = _read_password(arguments)
    return _run(work)


def set_password(arguments: Namespace) -> int:
    async def work(db: Database) -> None:
        with open_passwords() as passwords:
            await service.set_password(db, passwords, arguments.email, password, actor=COMMAND_LINE)

    password = _read_password(arguments)
    return _run(work)


def set_role(arguments: Namespace) -> int:
    async def work(db: Database) -> None:
        revoked = await service.set_role(db, arguments.email, Role(arguments.role), actor=COMMAND_LINE)
        if revoked:
            print(f"operator's API keys revoked: {revoked}")

    return _run(work)


def list_accounts(_arguments: Namespace) -> int:
    async def work(db: Database) -> None:
        found = await store.list_accounts(db, MOST)
        print_rows([_show_account(account) for account in found], ACCOUNTS)

    return _run(work)


def create_key(arguments: Namespace) -> int:
    async def work(db: Database) -> None:
        key = await keys.create_key(db, arguments.email, arguments.name, arguments.days, operator=arguments.operator)
        print(key.secret)

    return _run(work)


def list_keys(arguments: Namespace) -> int:
    async def work(db: Database) -> None:
        found = await store.list_keys(db, arguments.email, MOST)
        print_rows([_show_key(key) for key in found], KEYS)

    return _run(work)


def revoke_key(arguments: Namespace) -> int:
    """Raises NotFound."""
    return _run(lambda db: keys.revoke_key(db, parse_id(Prefix.KEY, arguments.id), COMMAND_LINE))


def _show_account(account: Account) -> dict[str, Any]:
    password = "set" if account.password_hash else None
    return {**_written(account, "email", "role", "created_at"), "password": password}


def _show_key(key: KeyLine) -> dict[str, Any]:
    return {**_written(key, *KEYS), "id": show_id(Prefix.KEY, key.id)}


def _written(row: object, *columns: str) -> dict[str, Any]:
    found = {name: getattr(row, name) for name in columns}
    return {name: utc(value) if isinstance(value, datetime) else value for name, value in found.items()}


def _read_password(arguments: Namespace) -> str:
    """Asked for twice at a terminal, without echo, or one line of stdin; never an argument, which others can read.

    Raises Misconfigured where nobody can be asked, and Invalid.
    """
    if arguments.password_stdin:
        password = sys.stdin.readline(4 * MOST_BYTES).rstrip("\r\n")
    elif sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        check_password(password, arguments.email)
        if getpass.getpass("Again: ") != password:
            raise Invalid("these were two different passwords; nothing was changed")
    else:
        raise Misconfigured("there is no terminal to ask for a password: give it on stdin, with --password-stdin")
    check_password(password, arguments.email)
    return password


def _run(work: Callable[[Database], Awaitable[None]]) -> int:
    return asyncio.run(_with_database(work))


async def _with_database(work: Callable[[Database], Awaitable[None]]) -> int:
    settings = read_settings()
    require_database(settings)
    async with open_database(pool(settings, Process.WEB)) as db:
        await require_schema(db)
        await work(db)
    return 0
