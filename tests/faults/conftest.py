"""Servers of a test's own, which it may stop, kill, fill and empty; and the table of what the tests counted."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from history import FIGURES, History, watched
from whole import Whole

from roadmap.embedded.postgres import PostgresServer
from roadmap.embedded.redis import RedisServer
from roadmap.migrate import migrate


@pytest.fixture
async def own_redis(servers_folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[RedisServer]:
    server = RedisServer(servers_folder / f"redis-{request.node.name[-40:]}", durable=False)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def own_postgres(servers_folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[PostgresServer]:
    """Migrated, and as durable as in earnest."""
    server = PostgresServer(servers_folder / f"postgres-{request.node.name[-40:]}", durable=True)
    await server.start()
    await migrate(server.url)
    yield server
    await server.stop("immediate")


@pytest.fixture
async def history(whole: Whole) -> AsyncIterator[History]:
    """Of the test's own `whole`, recorded from the first moment of its processes on: the test starts them itself."""
    async with watched(whole) as watching:
        yield watching


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What `history.check` has counted, also in other test processes: a row for each test."""
    place = Path(os.environ.get(FIGURES, ""))
    if not place.is_file():
        return
    rows = [orjson.loads(line) for line in place.read_bytes().splitlines()]
    names = [name for name in rows[0] if name != "test"] if rows else []
    terminalreporter.section("faults and figures")
    for row in [{name: name for name in (*names, "test")}, *rows]:
        counted = "".join(f"{row[name]:>{max(len(name), 7) + 1}}" for name in names)
        terminalreporter.write_line(f"{counted}  {row['test']}")
