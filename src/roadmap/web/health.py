"""/health touches nothing; /ready looks at PostgreSQL, and names what is merely degraded: Redis, or no worker."""

import asyncio
import time

from starlette.requests import Request
from starlette.responses import Response

from roadmap.api.answers import JSONAnswer
from roadmap.database import Database
from roadmap.errors import Misconfigured, Outage
from roadmap.heartbeat import Process, count_alive
from roadmap.migrate import require_schema
from roadmap.queue.client import Queue

__all__ = ["Readiness", "health", "ready"]

TIMEOUT = 0.5
CACHED = 1.0
WATCHED = 30.0
WORKERS = (Process.CONTENT, Process.LOGS)


class Readiness:
    """Whether this process can serve: looked at no more than once a second."""

    def __init__(self, db: Database, queue: Queue) -> None:
        self.draining = False
        self._db = db
        self._queue = queue
        self._checks: dict[str, str] = {}
        self._until = 0.0
        self._asked_at = -WATCHED
        self._looking = asyncio.Lock()

    @property
    def watched(self) -> bool:
        """Whether somebody asks from time to time, as a balancer does, and so will learn of a change."""
        return time.monotonic() - self._asked_at < WATCHED

    async def look(self) -> tuple[bool, dict[str, str]]:
        """Ready or not, and each check: ok, degraded, failed, unknown. Redis or workers away is degraded: requests are
        accepted, and wait (P2)."""
        self._asked_at = time.monotonic()
        async with self._looking:
            if time.monotonic() >= self._until:
                self._checks = {**await self._look_at_database(), "redis": await self._look_at_redis()}
                self._until = time.monotonic() + CACHED
        checks = {**self._checks, **({"process": "draining"} if self.draining else {})}
        return not self.draining and checks["postgresql"] == "ok", checks

    async def _look_at_database(self) -> dict[str, str]:
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
        return "ok" if await self._queue.ping() else "degraded"


async def health(_request: Request) -> Response:
    return JSONAnswer({"status": "ok"})


async def ready(request: Request) -> Response:
    readiness: Readiness = request.state.web.readiness
    is_ready, checks = await readiness.look()
    return JSONAnswer({"status": "ready" if is_ready else "unready", "checks": checks}, 200 if is_ready else 503)
