"""What is written down while a test runs: each change of a run or a piece, every connection, the faults, the ends."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import asyncpg
import orjson
from pooler import direct, is_pooled
from stack import Child, Stack

from roadmap.settings import Settings

__all__ = ["Change", "Mark", "Recording", "Sample", "Trouble", "connect", "install", "read_changes", "setting"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

EVERY = 0.2  # seconds
LATE = 0.5
SOCKETS = Path("/proc/net/tcp")
ESTABLISHED = "01"
AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

# A trigger is part of its transaction: what was rolled back never happened here either. Rows of one key are in order,
# because the row that they tell of is locked until the commit.
INSTALL = """
CREATE TABLE watched (
    number bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL, key text NOT NULL, before jsonb, after jsonb NOT NULL
);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    now_so  jsonb := to_jsonb(NEW) - 'report';
    then_so jsonb := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) - 'report' END;
BEGIN
    INSERT INTO watched (kind, key, before, after) VALUES (
        TG_TABLE_NAME, concat_ws(' ', now_so->>'id', now_so->>'roadmap_id', now_so->>'concept_id', now_so->>'kind'),
        then_so, now_so
    );
    RETURN NULL;
END
$$;
CREATE TRIGGER watch AFTER INSERT OR UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION watch();
CREATE TRIGGER watch AFTER INSERT OR UPDATE ON content FOR EACH ROW EXECUTE FUNCTION watch();
"""

CHANGES = """
SELECT number, extract(epoch FROM at)::float AS at, kind, key, before, after FROM watched ORDER BY number
"""

SESSIONS = """
SELECT application_name AS name, client_port AS port FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'roadmap-%'
"""


class Mark(StrEnum):
    """What follows from a fault, so that nobody is blamed for it."""

    AWAY = "away"
    """Redis or PostgreSQL cannot be reached: nothing can be handed over."""
    FORGETS = "forgets"
    """Redis loses what it was given."""
    HIDES = "hides"
    """PostgreSQL does not see that a client has gone."""


@dataclass(slots=True)
class Trouble:
    """A fault that was injected; times by time.time(). One that does not last ends when it begins."""

    name: str
    began: float
    ended: float
    marks: frozenset[Mark] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """A run or a piece before and after an update; `before` is None for its insert."""

    number: int
    at: float
    kind: str
    key: str
    before: dict[str, Any] | None
    after: dict[str, Any]

    @property
    def due_at(self) -> float | None:
        """When somebody must look after the row, as the change left it."""
        due = self.after["due_at"]
        return datetime.fromisoformat(due).timestamp() if due else None


@dataclass(frozen=True, slots=True)
class Sample:
    """Connections whose client is there, by service, and how many the living processes of the service may have."""

    at: float
    connections: Counter[str]
    allowed: Counter[str]


@dataclass(slots=True)
class Recording:
    """`ends`: when a process was first seen to have ended, by its pid. `hiccups`: when this process had to wait for
    the machine; then so had all others, and the provider that it plays."""

    url: str
    stack: Stack
    began: float = field(default_factory=time.time)
    troubles: list[Trouble] = field(default_factory=list)
    hiccups: list[Trouble] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    ends: dict[int, float] = field(default_factory=dict)

    async def sample_forever(self) -> None:
        """On a connection of its own; while PostgreSQL is away there is nothing to count."""
        while True:
            try:
                await self._sample_while_connected()
            except AWAY:
                await self._rest()

    async def _sample_while_connected(self) -> None:
        connection = await connect(self.url)
        try:
            while True:
                self.samples.append(await self._sample(connection))
                await self._rest()
        finally:
            connection.terminate()

    async def _sample(self, connection: Connection) -> Sample:
        before = self._living()
        rows = await connection.fetch(SESSIONS, timeout=5)
        there = _clients_of(self.url)
        found = Counter(row["name"].removeprefix("roadmap-") for row in rows if there is None or row["port"] in there)
        if is_pooled(self.url):
            found.clear()  # the sessions are the pooler's, which lends each to anybody
        living = {child.pid: child for child in [*before, *self._living()]}
        # The test's own API is one more `web`.
        allowed = Counter({"web": int(Settings.model_fields["db_pool_web"].default)})
        for child in living.values():
            allowed[child.service] += int(setting(child, f"db_pool_{child.service}"))
        return Sample(time.time(), found, allowed)

    def _living(self) -> Sequence[Child]:
        return [child for child in self.stack.everyone if child.exit_code is None]

    async def _rest(self) -> None:
        for child in self.stack.everyone:
            if child.exit_code is not None:
                self.ends.setdefault(child.pid, time.time())
        before = time.time()
        await asyncio.sleep(EVERY)
        late = time.time() - before - EVERY
        if late > LATE:
            self.hiccups.append(Trouble(f"the machine was {late:.1f} s late", before, time.time()))


async def connect(url: str) -> Connection:
    connection = await asyncpg.connect(direct(url), timeout=5, statement_cache_size=0)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_dump, decoder=orjson.loads)
    return connection


async def install(url: str) -> None:
    """Lets the database write down the changes. Needs its owner."""
    connection = await connect(url)
    try:
        await connection.execute(INSTALL)
    finally:
        await connection.close()


async def read_changes(connection: Connection) -> list[Change]:
    return [Change(**dict(row)) for row in await connection.fetch(CHANGES)]


def setting(child: Child, name: str) -> str:
    """A setting of a process, from its environment or by default."""
    return child.environment.get(name.upper()) or str(Settings.model_fields[name].default)


def _clients_of(url: str) -> set[int] | None:
    """The ports of the server's clients that have not hung up; None where the system does not tell.

    A session whose client was killed lives on in PostgreSQL until its statement ends.
    """
    if not SOCKETS.exists():
        return None
    lines = [line.split() for line in SOCKETS.read_text().splitlines()[1:]]
    server = urlsplit(url).port
    return {_port(line[2]) for line in lines if _port(line[1]) == server and line[3] == ESTABLISHED}


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _dump(value: object) -> str:
    return orjson.dumps(value).decode()
