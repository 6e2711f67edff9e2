"""The fan-out inside one process."""

import asyncio
from typing import Any
from uuid import UUID

from feed import Feed
from inside import Api
from waiting import eventually

from roadmap.database import Database, Row
from roadmap.events.hub import BACKLOG, FETCH, Listener, open_hub
from roadmap.events.store import READ_AFTER
from roadmap.ids import new_id

USER = new_id()


class Held(Database):
    """Keeps back the next answer about events until the test lets it go."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner._pool, inner._acquire_timeout)
        self.holding = False
        self.held = asyncio.Event()
        self.free = asyncio.Event()

    async def fetch(self, query: str, *args: Any) -> list[Row]:
        rows = await super().fetch(query, *args)
        if query == READ_AFTER and self.holding and rows:
            self.held.set()
            await self.free.wait()
        return rows


async def take(listener: Listener, count: int) -> list[int]:
    """The numbers of the next events."""
    async with asyncio.timeout(5):
        events = [await listener.take() for _ in range(count)]
    return [event.seq for event in events if event is not None]


async def test_who_comes_during_a_fetch_for_others_misses_nothing(api: Api, feed: Feed) -> None:
    db = Held(api.db)
    await feed.tell(3)
    async with open_hub(db, feed.queue) as hub, hub.listen(feed.roadmap_id, 3, USER) as early:
        assert await take(early, 1) == [4]
        db.holding = True
        await feed.tell(1)
        async with asyncio.timeout(5):
            await db.held.wait()  # event 5, for the early one
        async with hub.listen(feed.roadmap_id, 0, USER) as late:
            db.holding = False
            db.free.set()
            assert await take(early, 1) == [5]
            assert await take(late, 5) == [1, 2, 3, 4, 5]


async def test_a_listener_who_takes_nothing_holds_nobody_up(api: Api, feed: Feed) -> None:
    other = (await api.alice.post("/v1/roadmaps", json={"goal": "Learn to wait"})).json()
    for _ in range(0, BACKLOG + 2 * FETCH, FETCH):
        await feed.tell(FETCH, aloud=False)
    hub = api.state.hub
    async with hub.listen(feed.roadmap_id, 0, USER) as lazy:
        await eventually(lambda: lazy.cut, "the listener is cut")
        async with hub.listen(UUID(hex=other["id"].removeprefix("rm_")), 0, USER) as listener:
            await eventually(lambda: not listener.caught_up, "the other roadmap's listener is served")
            assert (await listener.take()).seq == 1  # type: ignore[union-attr]
        assert lazy.seq == BACKLOG
