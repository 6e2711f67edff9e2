"""PgBouncer in transaction mode, for the tests that bring it up, and for a whole session of them:

    TEST_POOLER=pgbouncer pytest …

puts one in front of the tests' PostgreSQL, and every database URL of a fixture goes through it. A test that needs a
session of its own (SET, named statements, advisory locks) connects to `direct(url)`.
"""

import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from waiting import eventually

from roadmap.embedded.account import make_private, server_account
from roadmap.embedded.process import Launch, ServerProcess

__all__ = ["direct", "is_pooled", "pgbouncer", "pooled", "pooling", "through"]

PORT = 6432  # by which our settings know a pooler
_POOLER, _SERVER = "TEST_POOLER_PLACE", "TEST_SERVER_PLACE"

_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server_port}

[pgbouncer]
listen_addr = {address}
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 2000
server_idle_timeout = 10
"""


def is_pooled(url: str) -> bool:
    return urlsplit(url).port == PORT


def pooled(url: str) -> str:
    """The URL by way of the session's pooler; the same URL when there is none."""
    return through(url, os.environ[_POOLER]) if _POOLER in os.environ else url


def direct(url: str) -> str:
    """The URL past the session's pooler."""
    return through(url, os.environ[_SERVER]) if is_pooled(url) and _SERVER in os.environ else url


def through(url: str, place: str) -> str:
    """The URL with another host and port."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{place}").geturl()


@asynccontextmanager
async def pooling(folder: Path, server_url: str) -> AsyncIterator[None]:
    """The pooler of a whole session, if TEST_POOLER asks for one."""
    if os.environ.get("TEST_POOLER") != "pgbouncer":
        yield
        return
    async with pgbouncer(folder, server_url) as place:
        os.environ.update({_POOLER: place, _SERVER: urlsplit(server_url).netloc.rpartition("@")[2]})
        try:
            yield
        finally:
            del os.environ[_POOLER], os.environ[_SERVER]


@asynccontextmanager
async def pgbouncer(folder: Path, server_url: str, *, size: int = 20) -> AsyncIterator[str]:
    """Yields host and port. `size`: sessions with PostgreSQL for each database. Skips the test where there is none."""
    program = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        pytest.skip("there is no pgbouncer on this machine")
    account = server_account()
    make_private(folder, account)
    address = _free_address()
    user, server_port = urlsplit(server_url).username, urlsplit(server_url).port
    settings = {"address": address, "port": PORT, "server_port": server_port, "folder": folder, "size": size}
    (folder / "pgbouncer.ini").write_text(_CONFIGURATION.format_map(settings))
    (folder / "users").write_text(f'"{user}" ""\n')
    for file in folder.iterdir():
        file.chmod(0o644)
    launch = Launch((program, str(folder / "pgbouncer.ini")), folder, account=account)
    process = await ServerProcess.open(launch, folder.with_suffix(".log"))
    try:
        place = f"{address}:{PORT}"
        await eventually(lambda: _answers(through(server_url, place)), "pgbouncer starts")
        yield place
    finally:
        await process.stop(signal.SIGTERM)


def _free_address() -> str:
    """One of this machine's many, as the port is given, and other sessions of tests may run."""
    for number in range(2, 250):
        address = f"127.0.{os.getpid() % 250}.{number}"
        try:
            with socket.create_server((address, PORT)):
                return address
        except OSError:
            continue
    pytest.skip("no address of this machine is free for a pooler")


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=5, statement_cache_size=0)
    except OSError:
        return False
    await connection.close()
    return True
