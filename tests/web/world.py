"""What the walks over the URL table look at."""

from dataclasses import dataclass
from typing import Any

import httpx
from stack import Stack

__all__ = ["World"]


@dataclass(frozen=True, slots=True)
class World:
    """Alice has a finished roadmap; Bob has a key, and what tests make for him; Carol has a key and nothing else."""

    stack: Stack
    database_url: str
    redis_url: str
    keys: tuple[str, str]
    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    carol: httpx.AsyncClient
    nobody: httpx.AsyncClient
    roadmap: dict[str, Any]

    def ids(self) -> dict[str, str]:
        """A value for each path parameter."""
        concept = self.roadmap["plan"]["stages"][0]["modules"][0]["concepts"][0]
        return {"roadmap_id": self.roadmap["id"], "run_id": self.roadmap["run"]["id"], "concept_id": concept["id"]}
