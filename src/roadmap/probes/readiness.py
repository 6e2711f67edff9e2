"""Whether this process can serve, and what is merely degraded."""

import asyncio
import time
from collections.abc import Callable, Sequence

from roadmap.database import Database
from roadmap.errors import Misconfigured, Outage
from roadmap.heartbeat import Process, count_alive
from roadmap.migrate import require_schema
from roadmap.queue.client import Queue

__all__ = ["Checks", "Readiness"]

TIMEOUT = 0.5
CACHED = 1.0
WATCHED = 30.0
# Seconds; a worker looks at its queue twice a minute at the least.
POLLED = 60.0
WORKERS = (Process.CONTENT, Process.LOGS)

# Each check by its name: ok, or what is the matter.
Checks = dict[str, str]


class Readiness:
    """Looked at no more than once a second. `roles`: what this process serves.

    With `web` among them, Redis or workers away is degraded: requests are accepted, and wait (P2). A process of
    workers alone needs Redis, and a recent look at its queue.
    """

    def __init__(self, db: Database, queue: Queue, roles: Sequence[Process] = (Process.WEB,)) -> None:
        self.draining = False
        # Of each worker in this process, once it has looked at its queue: how many seconds ago it did so last.
        self.polls: dict[Process, Callable[[], float]] = {}
        self._db = db
        self._queue = queue
        self._serves_web = Process.WEB in roles
        self._workers = [role for role in roles if role is not Process.WEB]
        self._checks: Checks = {}
        self._until = 0.0
        self._asked_at = -WATCHED
        self._looking = asyncio.Lock()

    @property
    def watched(self) -> bool:
        """Whether somebody asks from time to time, as a balancer does, and so will learn of a change."""
        return time.monotonic() - self._asked_at < WATCHED

    def leave(self) -> None:
        """This process was asked to stop. The API says so itself: how long it drains depends on whether it did."""
        self.draining = self.draining or not self._serves_web

    async def look(self) -> tuple[bool, Checks]:
        """Ready or not, and each check: ok, degraded, failed, unknown."""
        self._asked_at = time.monotonic()
        async with self._looking:
            if time.monotonic() >= self._until:
                self._checks = {**await self._look_at_database(), "redis": await self._look_at_redis()}
                self._until = time.monotonic() + CACHED
        checks = {**self._checks, **self._look_at_polls(), **({"process": "draining"} if self.draining else {})}
        needed = ("postgresql",) if self._serves_web else ("postgresql", "redis", "polling")
        return not self.draining and all(checks[name] == "ok" for name in needed), checks

    async def _look_at_database(self) -> Checks:
        """Of itself, and of the workers, whose heartbeats it knows."""
        unknown = {name.value: "unknown" for name in WORKERS}
        try:
            async with asyncio.timeout(TIMEOUT):
                await require_schema(self._db)
                alive = await count_alive(self._db)
        except Misconfigured:
            return {"postgresql": "schema is behind: run `roadmap migrate`", **unknown}
        except (TimeoutError, Outage):
            return {"postgresql": "failed", **unknown}
        workers = {name.value: "ok" if alive.get(name) else "degraded: no worker" for name in WORKERS}
        return {"postgresql": "ok", **workers}

    async def _look_at_redis(self) -> str:
        if await self._queue.ping():
            return "ok"
        return "degraded" if self._serves_web else "failed"

    def _look_at_polls(self) -> Checks:
        if not self._workers:
            return {}
        asleep = [role for role in self._workers if role not in self.polls or self.polls[role]() > POLLED]
        wrong = "degraded" if self._serves_web else "failed"
        return {"polling": f"{wrong}: {', '.join(asleep)}" if asleep else "ok"}
