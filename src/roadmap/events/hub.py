"""Fans events out to the listeners of one process: one Redis subscription, one fetch per roadmap, bounded queues.

Redis only wakes: every event is read from PostgreSQL, and a look at the counters every LOOK seconds finds what a lost
publish would have hidden.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import structlog

from roadmap.database import Database
from roadmap.errors import Outage
from roadmap.events import store
from roadmap.events.model import Event
from roadmap.queue.client import Queue

__all__ = ["CHANNEL", "Hub", "Listener", "SlowListener", "announce", "open_hub"]

CHANNEL = "events"
LOOK = 2.0
FETCH = 500
BACKLOG = 1_000

log = structlog.get_logger()


async def announce(queue: Queue, roadmap_id: UUID) -> None:
    """Wakes the listeners of a roadmap in every process. Call it after the commit; losing it costs LOOK seconds."""
    await queue.notify(CHANNEL, roadmap_id.hex)


class SlowListener(Exception):
    """The listener did not take its events in time; it reconnects and resumes by sequence number."""


class Listener:
    """One client's view of a roadmap: events that follow `seq`, in order, each once. `cut`: it fell behind."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.cut = False
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(BACKLOG)

    def offer(self, event: Event) -> None:
        if event.seq <= self.seq or self.cut:
            return
        try:
            self._events.put_nowait(event)
            self.seq = event.seq
        except asyncio.QueueFull:
            self.cut = True

    def close(self) -> None:
        """Ends the listener once it has taken what it was offered."""
        if self._events.full():
            self.cut = True
        else:
            self._events.put_nowait(None)

    async def take(self) -> Event | None:
        """The next event, or None when the hub closes. Raises SlowListener when it fell behind."""
        if self.cut and self._events.empty():
            raise SlowListener
        return await self._events.get()

    @property
    def caught_up(self) -> bool:
        """Whether everything that was offered has been taken."""
        return self._events.empty()


class Hub:
    """Owns the listeners of this process. Made by `open_hub`."""

    def __init__(self, db: Database, queue: Queue) -> None:
        self._db = db
        self._queue = queue
        self._listeners: defaultdict[UUID, set[Listener]] = defaultdict(set)
        self._by_user: Counter[UUID] = Counter()
        self._stale: set[UUID] = set()
        self._wake = asyncio.Event()
        self._closing = False

    @asynccontextmanager
    async def listen(self, roadmap_id: UUID, seq: int, user_id: UUID) -> AsyncIterator[Listener]:
        """A listener for what follows `seq`: first what PostgreSQL has, then what comes."""
        listener = Listener(seq)
        self._by_user[user_id] += 1
        self._listeners[roadmap_id].add(listener)
        self._mark(roadmap_id)
        if self._closing:
            listener.close()
        try:
            yield listener
        finally:
            self._by_user -= Counter([user_id])  # forgets whom it counts no more
            self._listeners[roadmap_id].discard(listener)
            if not self._listeners[roadmap_id]:
                del self._listeners[roadmap_id]

    def count(self, user_id: UUID | None = None) -> int:
        """Listeners of this process, or those of one user."""
        return self._by_user[user_id] if user_id is not None else self._by_user.total()

    def close(self) -> None:
        """Ends every listener; new ones end at once. Called when the process stops accepting."""
        self._closing = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.close()

    async def follow_publishes(self) -> None:
        async for message in self._queue.listen(CHANNEL):
            if message is None:  # reconnected: anything may have been missed
                self._mark(*self._listeners)
            elif (roadmap_id := _read_id(message)) in self._listeners and roadmap_id is not None:
                self._mark(roadmap_id)

    async def follow_counters(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                last = await store.last_seqs(self._db, list(self._listeners)) if self._listeners else {}
            except Outage:
                continue
            self._mark(*(r for r, seq in last.items() if any(x.seq < seq for x in self._served(r))))

    async def deliver(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            stale, self._stale = self._stale, set()
            for roadmap_id in stale:
                await self._deliver_one(roadmap_id)

    async def _deliver_one(self, roadmap_id: UUID) -> None:
        while listeners := self._served(roadmap_id):
            after = min(listener.seq for listener in listeners)
            try:
                events = await store.read_after(self._db, roadmap_id, after, FETCH)
            except Outage as exc:
                log.warning("events_unread", roadmap_id=roadmap_id.hex, error=str(exc))
                return  # the next look at the counters comes back to it
            # Only to those for whom it was fetched: who came meanwhile may lack earlier ones, and has its own mark.
            for listener in listeners:
                for event in events:
                    listener.offer(event)
            if len(events) < FETCH:
                return

    def _served(self, roadmap_id: UUID) -> list[Listener]:
        """Those who still take events. One that is cut never gets on: to wait for it would be for ever."""
        return [listener for listener in self._listeners.get(roadmap_id, ()) if not listener.cut]

    def _mark(self, *roadmap_ids: UUID) -> None:
        self._stale.update(roadmap_ids)
        self._wake.set()


@asynccontextmanager
async def open_hub(db: Database, queue: Queue) -> AsyncIterator[Hub]:
    hub = Hub(db, queue)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in (hub.follow_publishes(), hub.follow_counters(), hub.deliver())]
        try:
            yield hub
        finally:
            hub.close()
            for task in tasks:
                task.cancel()


def _read_id(message: str) -> UUID | None:
    try:
        return UUID(hex=message)
    except ValueError:
        return None
