"""Both servers together, for `dev`, `demo` and the tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from roadmap.embedded.postgres import PostgresServer
from roadmap.embedded.redis import RedisServer

__all__ = ["LocalServers", "local_servers"]


@dataclass(frozen=True, slots=True)
class LocalServers:
    postgres: PostgresServer
    redis: RedisServer

    @property
    def database_url(self) -> str:
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        return self.redis.url


@asynccontextmanager
async def local_servers(
    folder: Path, *, durable: bool = True, postgres_programs: Path | None = None
) -> AsyncIterator[LocalServers]:
    """Runs both in `folder` until the block ends. Raises Misconfigured when one cannot start.

    Not `durable` is for tests: nothing survives a crash, and the end is abrupt.
    """
    postgres = PostgresServer(folder / "postgres", durable=durable, programs=postgres_programs)
    redis = RedisServer(folder / "redis", durable=durable)
    try:
        await _start_both(postgres, redis)
        yield LocalServers(postgres, redis)
    finally:
        await asyncio.gather(postgres.stop("fast" if durable else "immediate"), redis.stop())


async def _start_both(postgres: PostgresServer, redis: RedisServer) -> None:
    outcomes = await asyncio.gather(postgres.start(), redis.start(), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome
