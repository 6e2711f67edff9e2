"""What the walks over the URL table look at."""

from dataclasses import dataclass
from typing import Any

import httpx
from stack import Stack

__all__ = ["World"]


@dataclass(frozen=True, slots=True)
class World:
    """Alice has a finished roadmap, and an `unfinished` and an `abandoned` one whose runs were canceled; Bob has a key,
    and what tests make for him; Carol has a key and nothing else, and neither has the operator, whose key is one for
    the whole service."""

    stack: Stack
    database_url: str
    redis_url: str
    keys: tuple[str, str]
    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    carol: httpx.AsyncClient
    operator: httpx.AsyncClient
    nobody: httpx.AsyncClient
    roadmap: dict[str, Any]
    unfinished: str
    abandoned: str
    dead_job_id: str

    def ids(self) -> dict[str, str]:
        """A value for each path parameter."""
        concept = self.roadmap["plan"]["stages"][0]["modules"][0]["concepts"][0]
        return {
            "roadmap_id": self.roadmap["id"],
            "run_id": self.roadmap["run"]["id"],
            "concept_id": concept["id"],
            "dead_job_id": self.dead_job_id,
            "queue_name": "logs",
        }
