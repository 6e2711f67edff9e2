"""Learners who never rest: they create roadmaps through the real `web` processes, follow them, and cancel a few."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from stack import Stack

__all__ = ["Learner", "Load"]

WEBS = ("web", "web:second")
TOPICS = ("SQL", "Python", "statistics", "Kubernetes", "watercolour", "Spanish", "music theory", "machine learning")
CANCELED = 0.15
MEDIUM = 0.25
LOOK_EVERY = 0.5
# What a client is told to come back after: away, too much at once, the same request is under way.
LATER = {409, 429, 503}


@dataclass(slots=True)
class Load:
    """What all learners did. `faults` are answers that nobody should get."""

    accepted: list[str]
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)


class Learner:
    """One who does one roadmap after another. What they wish for follows from `chance`."""

    def __init__(self, stack: Stack, load: Load, client: httpx.AsyncClient, chance: random.Random) -> None:
        self._stack = stack
        self._load = load
        self._client = client
        self._chance = chance

    async def learn(self, go_on: Callable[[], bool]) -> None:
        while go_on():
            roadmap = await self._create()
            self._load.accepted.append(roadmap["id"])
            if self._chance.random() < CANCELED:
                await asyncio.sleep(self._chance.uniform(0, 6))
                await self._ask("POST", f"/v1/runs/{roadmap['run']['id']}/cancel")
            self._load.ended[await self._follow(roadmap["id"])] += 1

    async def _create(self) -> dict[str, Any]:
        """Asks until it is accepted; the key makes one roadmap of all tries."""
        topic, number = self._chance.choice(TOPICS), self._chance.randrange(10**9)
        size = "medium" if self._chance.random() < MEDIUM else "small"
        wish = {"goal": f"Learn {topic} in four weeks, for project {number}", "size": size}
        return await self._ask("POST", "/v1/roadmaps", wish, str(number))

    async def _follow(self, roadmap_id: str) -> str:
        while True:
            roadmap = await self._ask("GET", f"/v1/roadmaps/{roadmap_id}")
            if roadmap["run"]["finished_at"]:
                return str(roadmap["status"])
            await asyncio.sleep(LOOK_EVERY)

    async def _ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> dict[str, Any]:
        """Until it is answered: a process may be gone, frozen, or without its servers."""
        while True:
            answer = await self._try(method, path, body, key)
            if answer is not None and answer.is_success:
                return dict(answer.json())
            await asyncio.sleep(LOOK_EVERY)

    async def _try(self, method: str, path: str, body: Any, key: str | None) -> httpx.Response | None:
        url = self._stack.url(self._chance.choice(WEBS)) + path
        headers = {"Idempotency-Key": key} if key else {}
        try:
            answer = await self._client.request(method, url, json=body, headers=headers)
        except httpx.HTTPError as exc:
            self._load.answers[type(exc).__name__] += 1
            return None
        self._load.answers[str(answer.status_code)] += 1
        if not answer.is_success and (answer.status_code not in LATER or "retry-after" not in answer.headers):
            self._load.faults.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer
