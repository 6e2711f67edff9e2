"""What `/metrics` answers: this process's own figures, and those of the service, looked up when somebody asks."""

import asyncio
import hmac
import time

from prometheus_client.exposition import choose_encoder

from roadmap.database import Database
from roadmap.errors import Outage
from roadmap.figures.service_state import ServiceState, read_service_state
from roadmap.metrics import Metrics
from roadmap.queue.client import Queue
from roadmap.queue.line import Line

__all__ = ["Exposition", "may_read"]

CACHED = 5.0
TIMEOUT = 0.5
QUEUES = ("content", "logs")


def may_read(authorization: str, token: str) -> bool:
    """Whether the header `Authorization` carries the token; told in a time that does not depend on what it says."""
    return hmac.compare_digest(authorization.encode("utf-8", "surrogateescape"), f"Bearer {token}".encode())


class Exposition:
    """Renders `metrics`. What only PostgreSQL and Redis know is looked up for it, at most every five seconds and for
    half a second; while one of them is away its samples are missing, which is not the same as 0."""

    def __init__(self, metrics: Metrics, db: Database, queue: Queue) -> None:
        self._metrics = metrics
        self._db = db
        self._queue = queue
        self._looking = asyncio.Lock()
        self._until = 0.0
        self._state: ServiceState | None = None
        self._lines: dict[str, Line | None] = {}
        self._tell_of_connections()
        self._tell_of_queues()
        self._tell_of_service()

    async def render(self, accept: str) -> tuple[bytes, str]:
        """The text, in the format that suits the header `Accept`, and its content type."""
        async with self._looking:
            if time.monotonic() >= self._until:
                self._state, self._lines = await self._read_state(), await self._read_lines()
                self._until = time.monotonic() + CACHED
        encode, content_type = choose_encoder(accept)
        self._metrics.look()
        return await asyncio.to_thread(encode, self._metrics.registry), content_type

    async def _read_state(self) -> ServiceState | None:
        try:
            async with asyncio.timeout(TIMEOUT):
                return await read_service_state(self._db)
        except (Outage, TimeoutError):
            return None

    async def _read_lines(self) -> dict[str, Line | None]:
        try:
            async with asyncio.timeout(TIMEOUT):
                return {name: await self._queue.line(name) for name in QUEUES}
        except TimeoutError:
            return {}

    def _tell_of_connections(self) -> None:
        def by_state() -> dict[tuple[str, ...], float]:
            size, used = self._db.usage()
            return {("idle",): size - used, ("used",): used}

        gauge = self._metrics.gauge
        gauge("db_client_connection_count", "Connections to PostgreSQL that this process has.", by_state, "state")
        gauge("db_client_connection_max", "Connections that it may have.", lambda: self._db.size)
        gauge("db_client_connection_pending_requests", "Who waits for one of them.", self._db.waiting)

    def _tell_of_queues(self) -> None:
        def depths() -> dict[tuple[str, ...], float]:
            return {(name,): line.depth for name, line in self._lines.items() if line}

        def ages() -> dict[tuple[str, ...], float]:
            return {(name,): line.oldest or 0 for name, line in self._lines.items() if line}

        gauge = self._metrics.gauge
        gauge("roadmap_queue_depth", "Jobs on the queue: waiting, deferred and running.", depths, "queue")
        gauge(
            "roadmap_queue_oldest_age_seconds", "For how long one of the next jobs waits; 0: none does.", ages, "queue"
        )

    def _tell_of_service(self) -> None:
        def reachable() -> dict[tuple[str, ...], float]:
            redis = bool(self._lines) and all(self._lines.values())
            return {("postgresql",): self._state is not None, ("redis",): redis}

        def workers() -> dict[tuple[str, ...], float]:
            return {**self._state.workers} if self._state else {}

        def silent() -> dict[tuple[str, ...], float]:
            return {(name,): age for name, age in self._state.silent.items()} if self._state else {}

        def dead_jobs() -> float | None:
            return self._state.dead_jobs if self._state else None

        gauge = self._metrics.gauge
        gauge("roadmap_server_up", "1 when it answers this process within half a second.", reachable, "server")
        gauge("roadmap_dead_jobs", "Dead jobs that wait for an operator.", dead_jobs)
        gauge(
            "roadmap_workers",
            "Processes by their heartbeats: alive, hibernating, or silent: for 15 seconds, or when last asked to wake.",
            workers,
            "process",
            "state",
        )
        gauge(
            "roadmap_worker_heartbeat_age_seconds",
            "Since the last heartbeat of any process that serves this and does not hibernate.",
            silent,
            "process",
        )
