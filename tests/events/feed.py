"""A roadmap whose events the test tells itself, and clients that read them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

from roadmap.database import Database
from roadmap.events import store
from roadmap.events.hub import announce
from roadmap.events.model import EventType, Notice, StepDone
from roadmap.ids import Prefix, parse_id
from roadmap.queue.client import Queue

__all__ = ["Feed", "open_feed", "read", "reading", "seqs"]


@dataclass(frozen=True, slots=True)
class Feed:
    """A roadmap of Alice with an active run. Its first event is `run.queued`."""

    client: httpx.AsyncClient
    db: Database
    queue: Queue
    links: dict[str, str]
    roadmap_id: UUID
    run_id: str

    @property
    def path(self) -> str:
        return self.links["events"]

    async def tell(self, count: int, *, aloud: bool = True, step: str = "outline") -> None:
        """Appends events in one transaction. Not `aloud`: the publish gets lost."""
        notice = Notice(EventType.RUN_STEP, StepDone(run_id=self.run_id, step=step, duration_ms=1))
        async with self.db.transaction() as tx:
            await store.append(tx, self.roadmap_id, [notice] * count)
        if aloud:
            await announce(self.queue, self.roadmap_id)

    async def end(self) -> None:
        """By canceling the run."""
        (await self.client.post(self.links["cancel"])).raise_for_status()


async def open_feed(client: httpx.AsyncClient, db: Database, queue: Queue) -> Feed:
    created = (await client.post("/v1/roadmaps", json={"goal": "Learn to listen"})).json()
    roadmap_id = parse_id(Prefix.ROADMAP, created["id"])
    return Feed(client, db, queue, created["links"], roadmap_id, created["run"]["id"])


@asynccontextmanager
async def reading(
    client: httpx.AsyncClient, path: str, last_event_id: int | None = None
) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
    """The frames of an open stream."""
    headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    async with aconnect_sse(client, "GET", path, headers=headers) as source:
        source.response.raise_for_status()
        yield (frame async for frame in source.aiter_sse() if frame.data)


async def read(client: httpx.AsyncClient, path: str, last_event_id: int | None = None) -> list[dict[str, Any]]:
    """The events of a stream until the server ends it."""
    async with reading(client, path, last_event_id) as frames:
        return [frame.json() async for frame in frames]


def seqs(events: list[dict[str, Any]]) -> list[int]:
    return [event["seq"] for event in events]
