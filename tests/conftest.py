"""Real servers for every test: one PostgreSQL and one Redis per test process, a fresh database per test."""

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from pooler import is_pooled, pooled, pooling
from redis.asyncio import Redis

from roadmap.database import Database, Pool, open_database
from roadmap.embedded.servers import LocalServers, local_servers
from roadmap.migrate import migrate

_NUMBERS = itertools.count(1)
_REDIS_DATABASES = 1024


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Open to `nobody`, unlike pytest's own temporary folders: as root PostgreSQL runs under that account."""
    folder = Path(tempfile.mkdtemp(prefix="roadmap-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def servers(servers_folder: Path) -> AsyncIterator[LocalServers]:
    async with (
        local_servers(servers_folder, durable=False) as running,
        pooling(servers_folder / "pooler", running.database_url),
    ):
        yield running


@pytest.fixture(scope="session")
async def admin(servers: LocalServers) -> AsyncIterator[asyncpg.Connection]:
    """Connected to the database `postgres`, to make and drop the tests' own."""
    connection = await asyncpg.connect(_database(servers, "postgres"))
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def template(servers: LocalServers, admin: asyncpg.Connection) -> str:
    """The name of a migrated database without rows."""
    await admin.execute("CREATE DATABASE migrated")
    await migrate(_database(servers, "migrated"))
    return "migrated"


@pytest.fixture
async def database_url(servers: LocalServers, admin: asyncpg.Connection, template: str) -> AsyncIterator[str]:
    """A migrated database of this test's own."""
    name = f"test_{next(_NUMBERS)}"
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield pooled(_database(servers, name))
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    pool = Pool(database_url, size=5, name="test", behind_transaction_pooler=is_pooled(database_url))
    async with open_database(pool) as opened:
        yield opened


@pytest.fixture
async def redis_url(servers: LocalServers) -> str:
    """An empty database number of this test's own. Pub/sub channels know no numbers: all tests share them."""
    url = servers.redis_url.removesuffix("/0") + f"/{next(_NUMBERS) % _REDIS_DATABASES}"
    async with Redis.from_url(url) as redis:
        await redis.flushdb()
    return url


def _database(servers: LocalServers, name: str) -> str:
    return servers.database_url.rpartition("/")[0] + f"/{name}"
