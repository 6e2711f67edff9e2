"""Somebody who uses the API while its servers have trouble, and asks again when told to.

async with lived_through(whole, bound=2):       # with all three services running
    ...                                         # the trouble; afterwards nothing is lost, nobody was kept waiting

async with visiting(whole.stack.web_url) as visitor:
    ...
assert visitor.lost == []                       # nothing failed after its retries
assert visitor.slowest < 2
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from stack import api_client
from waiting import eventually
from whole import Whole, check_log, check_run

__all__ = ["SERVICES", "Visit", "Visitor", "lived_through", "visiting"]

SERVICES = ("web", "content", "logs")
SMALL = {"goal": "Learn SQL in two weeks", "size": "small", "kinds": ["tutorial"]}
PATIENCE = 30.0  # longer than any answer may take, so that a hang is seen as one
AGAIN = 1.0  # where no Retry-After says when


@dataclass(frozen=True, slots=True)
class Visit:
    """One request with its tries: `statuses` in order, 0 for a connection that broke. `seconds` is the longest try."""

    request: str
    statuses: tuple[int, ...]
    seconds: float

    @property
    def answered(self) -> bool:
        return 200 <= self.statuses[-1] < 300


@dataclass(slots=True)
class Visitor:
    """`retries`: how often a request is made again after 503 or a broken connection."""

    client: httpx.AsyncClient
    retries: int = 1
    visits: list[Visit] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    @property
    def lost(self) -> list[Visit]:
        return [visit for visit in self.visits if not visit.answered]

    @property
    def slowest(self) -> float:
        return max(visit.seconds for visit in self.visits)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(status for visit in self.visits for status in visit.statuses)

    async def create(self, **wishes: Any) -> str | None:
        """The id of a small roadmap, or None. All tries are one request to the API: they carry one key."""
        answer = await self._visit(
            "POST", "/v1/roadmaps", json={**SMALL, **wishes}, headers={"Idempotency-Key": str(uuid4())}
        )
        if answer is None:
            return None
        self.accepted.append(answer.json()["id"])
        return self.accepted[-1]

    async def read(self) -> None:
        await self._visit("GET", "/v1/roadmaps")
        if self.accepted:
            await self._visit("GET", f"/v1/roadmaps/{self.accepted[-1]}")

    async def stay(self, every: float, reads: int) -> None:
        """Creates a roadmap, reads so many times with a pause of `every` seconds, and so on."""
        while True:
            await self.create()
            for _ in range(reads):
                await self.read()
                await asyncio.sleep(every)

    async def _visit(self, method: str, path: str, **content: Any) -> httpx.Response | None:
        statuses: list[int] = []
        longest = 0.0
        answer = None
        for left in reversed(range(self.retries + 1)):
            began = time.monotonic()
            answer = await self._try(method, path, content)
            longest = max(longest, time.monotonic() - began)
            statuses.append(answer.status_code if answer else 0)
            if statuses[-1] not in {0, 503} or not left:
                break
            await asyncio.sleep(float(answer.headers["retry-after"]) if answer else AGAIN)
        visit = Visit(f"{method} {path}", tuple(statuses), longest)
        self.visits.append(visit)
        return answer if visit.answered else None

    async def _try(self, method: str, path: str, content: dict[str, Any]) -> httpx.Response | None:
        try:
            return await self.client.request(method, path, timeout=PATIENCE, **content)
        except httpx.TransportError:
            return None


@asynccontextmanager
async def visiting(
    url: str, *, key: str | None = None, every: float = 0.1, reads: int = 20, retries: int = 1
) -> AsyncIterator[Visitor]:
    """Somebody who is there while the block runs, and ends the request at hand before leaving."""
    async with api_client(url, key) as client, asyncio.TaskGroup() as group:
        visitor = Visitor(client, retries)
        staying = group.create_task(visitor.stay(every, reads))
        try:
            yield visitor
        finally:
            staying.cancel()


@asynccontextmanager
async def lived_through(
    whole: Whole, *, bound: float, retries: int = 1, whole_log: bool = True
) -> AsyncIterator[Visitor]:
    """A visitor while the block runs. Afterwards no request is lost, none took longer than `bound` seconds, the same
    processes run, and whatever was accepted completes, its log too (a killed producer may lose what it just noted)."""
    pids = [whole.stack[name].pid for name in SERVICES]
    async with visiting(whole.stack.web_url, every=0.5, reads=8, retries=retries) as visitor:
        yield visitor
        count = len(visitor.visits)
        await eventually(lambda: len(visitor.visits) > count + 2, "the visitor is answered afterwards")
    assert visitor.lost == []
    assert visitor.slowest < bound
    assert [whole.stack[name].exit_code for name in SERVICES] == [None] * len(SERVICES)
    assert [whole.stack[name].pid for name in SERVICES] == pids
    for roadmap_id in [*whole.accepted, *visitor.accepted]:
        await whole.finish(roadmap_id)
        await check_run(whole.db, roadmap_id)
        if whole_log:
            await check_log(whole.db, roadmap_id)
