"""A load balancer, as small as it can be, and the people behind it: nothing is retried, and no answer is forgiven.

async with balancing() as balancer:
    await balancer.add(stack.url("web"))        # gets requests as soon as its /ready says 200, and no more after a 503
    async with at_rate(50, ask) as traffic:     # ask(traffic, number) uses traffic.ask(balancer, …)
        ...
    assert traffic.failures == []
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import aconnect_sse
from stack import api_client
from waiting import eventually

__all__ = ["Balancer", "Traffic", "at_rate", "balancing", "follow"]

LOOK_EVERY = 0.25  # seconds


class NobodyReady(Exception):
    """A request came, and there was no process for it."""


@dataclass(slots=True)
class Backend:
    client: httpx.AsyncClient
    ready: bool = False
    served: int = 0

    async def look(self) -> None:
        """For ever."""
        while True:
            try:
                self.ready = (await self.client.get("/ready", timeout=5)).status_code == 200
            except httpx.TransportError:
                self.ready = False
            await asyncio.sleep(LOOK_EVERY)


@dataclass(slots=True)
class Balancer:
    """Made by `balancing`. Round robin over those that are ready."""

    group: asyncio.TaskGroup
    backends: dict[str, Backend] = field(default_factory=dict)
    _looking: list[asyncio.Task[None]] = field(default_factory=list)
    _turn: int = 0

    async def add(self, url: str) -> None:
        """Returns when it is ready."""
        self._looking.append(self.group.create_task(self._serve(url)))
        await eventually(lambda: url in self.backends and self.backends[url].ready, f"{url} is ready")

    async def _serve(self, url: str) -> None:
        async with api_client(url) as client:
            backend = self.backends[url] = Backend(client)
            await backend.look()

    def pick(self) -> httpx.AsyncClient:
        ready = [backend for backend in self.backends.values() if backend.ready]
        if not ready:
            raise NobodyReady
        self._turn += 1
        chosen = ready[self._turn % len(ready)]
        chosen.served += 1
        return chosen.client

    def close(self) -> None:
        for task in self._looking:
            task.cancel()


@asynccontextmanager
async def balancing() -> AsyncIterator[Balancer]:
    async with asyncio.TaskGroup() as group:
        balancer = Balancer(group)
        try:
            yield balancer
        finally:
            balancer.close()


@dataclass(slots=True)
class Traffic:
    """`failures`: what anybody got who did not get what they asked for."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)

    async def ask(self, balancer: Balancer, method: str, path: str, **content: Any) -> httpx.Response | None:
        """The answer if it is a good one."""
        try:
            answer = await balancer.pick().request(method, path, **content)
        except (httpx.TransportError, NobodyReady) as exc:
            self.failures.append(f"{method} {path}: {exc!r}")
            return None
        if not answer.is_success:
            self.failures.append(f"{method} {path}: {answer.status_code} {answer.text}")
            return None
        self.answered += 1
        return answer


@asynccontextmanager
async def at_rate(rate: int, ask: Callable[[Traffic, int], Coroutine[Any, Any, None]]) -> AsyncIterator[Traffic]:
    """So many requests a second while the block runs, however long the others take; `ask` gets their numbers."""
    traffic = Traffic()

    async def keep_asking(group: asyncio.TaskGroup) -> None:
        began = time.monotonic()
        for number in itertools.count():
            await asyncio.sleep(began + number / rate - time.monotonic())
            group.create_task(ask(traffic, number))

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(keep_asking(group))
        try:
            yield traffic
        finally:
            asking.cancel()


async def follow(balancer: Balancer, traffic: Traffic, path: str) -> list[int]:
    """The numbers of a roadmap's events until its run has ended. A stream that ends early is taken up at once, by
    whoever is ready."""
    seqs: list[int] = []
    ended = False
    while not ended:
        headers = {"Last-Event-ID": str(seqs[-1])} if seqs else {}
        try:
            async with aconnect_sse(balancer.pick(), "GET", path, headers=headers, timeout=60) as source:
                if source.response.status_code == 204:
                    return seqs
                source.response.raise_for_status()
                async for frame in source.aiter_sse():
                    seqs += [int(frame.id)] if frame.data and frame.event != "bye" else []
                    ended = frame.event in {"run.succeeded", "run.incomplete", "run.failed"}
        except (httpx.HTTPError, NobodyReady) as exc:
            traffic.failures.append(f"stream of {path}: {exc!r}")
        await asyncio.sleep(0.05)
    return seqs
