"""Pages that follow: one reader for each view that somebody watches, shared by all who do; none where nobody does.

A listener never lags: what waits for it are the latest pieces, not a line of all that came. Readers take turns, and
look less often the more of them there are: whatever is watched, requests keep their connections and their time.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

import structlog

from roadmap.errors import Outage, Refused, TooMany
from roadmap.web.pages.frame import Ask, Tools, View, look
from roadmap.web.pages.rendering import fragments

__all__ = ["Listener", "Live", "Message", "open_live", "pause_after"]

log = structlog.get_logger()

PAUSE = 0.35  # seconds between two readings
MOST_OF_THE_TIME = 0.25  # that all readers together may take of this process's
AT_ONCE = 2  # readers that hold a connection; requests have the others
READ_WITHIN = 5.0
LONGEST_PAUSE = 5.0
MOST_LISTENERS = 500
MOST_LISTENERS_OF_ONE = 30

Message: TypeAlias = tuple[str, Mapping[str, Any]]


class Listener:
    """One browser's page. It is offered all there is at each reading, and takes what is new to it; of what waits, the
    latest of each name and id."""

    def __init__(self, user_id: UUID, *, operates: bool) -> None:
        self.user_id = user_id
        self.operates = operates
        self.closed = False
        self._known: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._waiting: dict[tuple[str, str], Message] = {}
        self._wake = asyncio.Event()

    def offer(self, name: str, **content: Any) -> None:
        place = (name, content.get("id", ""))
        if self._known.get(place) != content:
            self._known[place] = content
            self._waiting[place] = (name, content)
            self._wake.set()

    def close(self) -> None:
        self.closed = True
        self._wake.set()

    async def take(self, within: float) -> list[Message]:
        """What is new, waiting for it at most so many seconds; nothing when that is over, or it is closed."""
        try:
            async with asyncio.timeout(within):
                await self._wake.wait()
        except TimeoutError:
            return []
        if not self.closed:
            self._wake.clear()
        messages, self._waiting = list(self._waiting.values()), {}
        return messages


@dataclass(slots=True)
class _Room:
    """Those who watch a view. `failing`: the last look met a fault of ours."""

    view: View
    ask: Ask
    listeners: set[Listener] = field(default_factory=set)
    failing: bool = False

    def tell(self, name: str, **content: Any) -> None:
        for listener in self.listeners:
            listener.offer(name, **content)

    def note(self, fault: Exception | None) -> None:
        """In the diagnostics, the first time and not at each look."""
        if fault is not None and not self.failing:
            log.error("live_view_failed", view=self.view.path, exc_info=fault)
        self.failing = fault is not None


class Live:
    """Owns the readers and listeners of this process. Made by `open_live`."""

    def __init__(self, tools: Tools, group: asyncio.TaskGroup) -> None:
        self.tools = tools
        self._group = group
        self._readers: set[asyncio.Task[None]] = set()
        self._rooms: dict[str, _Room] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._closing = False

    def count(self, user_id: UUID | None = None) -> int:
        """Listeners, of one user or of all."""
        return sum(user_id in {None, listener.user_id} for room in self._rooms.values() for listener in room.listeners)

    def readers(self) -> int:
        return len(self._readers)

    def require_room(self, user_id: UUID) -> None:
        """Raises TooMany when this process has as many listeners as it can serve, or so many of one user."""
        if self.count() >= MOST_LISTENERS:
            raise TooMany("too many pages are open here", retry_in=10)
        if self.count(user_id) >= MOST_LISTENERS_OF_ONE:
            raise TooMany(f"you have {MOST_LISTENERS_OF_ONE} pages open here; close some", retry_in=10)

    @asynccontextmanager
    async def listen(self, view: View, ask: Ask, user_id: UUID, *, operates: bool) -> AsyncIterator[Listener]:
        """Offers every piece of the view at first, and then what changes of it."""
        listener = Listener(user_id, operates=operates)
        room = self._enter(view, ask, listener)
        try:
            yield listener
        finally:
            room.listeners.discard(listener)

    def close(self) -> None:
        """Ends every listener; new ones end at once. Called when the process stops accepting."""
        self._closing = True
        for room in self._rooms.values():
            for listener in room.listeners:
                listener.close()

    def stop(self) -> None:
        for reader in self._readers:
            reader.cancel()

    def _enter(self, view: View, ask: Ask, listener: Listener) -> _Room:
        if self._closing:
            listener.close()
        room = self._rooms.get(ask.address)
        if room is None:
            room = self._rooms[ask.address] = _Room(view, ask)
            reader = self._group.create_task(self._follow(room))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
        room.listeners.add(listener)
        return room

    async def _follow(self, room: _Room) -> None:
        """Until nobody is there any more. Nothing is awaited between seeing that and forgetting the room."""
        while room.listeners:
            took = await self._read_in_turn(room)
            await asyncio.sleep(pause_after(took, len(self._readers)))
        del self._rooms[room.ask.address]

    async def _read_in_turn(self, room: _Room) -> float:
        """Returns how long the reading took."""
        await self._take_turn(room)
        try:
            began = time.monotonic()
            room.note(await self._read(room))
            return time.monotonic() - began
        finally:
            self._turns.release()

    async def _take_turn(self, room: _Room) -> None:
        """Those before it may each wait for a database that does not answer: meanwhile its page is told."""
        try:
            async with asyncio.timeout(READ_WITHIN):
                await self._turns.acquire()
        except TimeoutError:
            room.tell("state", state="degraded", text="Updates are late")
            await self._turns.acquire()

    async def _read(self, room: _Room) -> Exception | None:
        """A border: a view that cannot be shown says so, and neither this process nor another view ends of it. Returns
        a fault of ours."""
        try:
            async with asyncio.timeout(READ_WITHIN):
                frame, values = await look(self.tools, room.view, room.ask)
            _send(room, {**values, "page": frame}, frame.full_title)
        except (Outage, TimeoutError) as exc:
            room.tell("state", state="degraded", text="The database does not answer")
            log.info("live_view_unread", view=room.view.path, error=str(exc))
        except Refused:
            room.tell("reload")  # what it showed is gone; the page itself says what is there now
        except Exception as exc:  # noqa: BLE001  the border
            room.tell("state", state="degraded", text="This page cannot be read")
            return exc
        return None


def pause_after(took: float, readers: int) -> float:
    """Seconds until a reader looks again, so that each of them has its share. What took long has mostly waited for the
    database: the bound keeps a page from standing still, and grows with the readers so that their shares hold."""
    share = MOST_OF_THE_TIME / readers
    return min(max(PAUSE, took / share - took), max(LONGEST_PAUSE, readers / 4))


def _send(room: _Room, values: Mapping[str, Any], title: str) -> None:
    for operates in (True, False):
        listeners = [listener for listener in room.listeners if listener.operates is operates]
        # Rendered once for all of a kind, and not at all for nobody.
        pieces = fragments(room.view.template, {**values, "may": operates}) if listeners else ()
        for name, html in pieces:
            for listener in listeners:
                listener.offer("piece", id=name, html=html)
    room.tell("title", text=title)
    room.tell("state", state="live", text="Live")


@asynccontextmanager
async def open_live(tools: Tools) -> AsyncIterator[Live]:
    """Leaving it ends the listeners, and the readers."""
    async with asyncio.TaskGroup() as group:
        live = Live(tools, group)
        try:
            yield live
        finally:
            live.close()
            live.stop()
