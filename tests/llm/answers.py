"""The answer that the zoo asks for, and a ledger in memory."""

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from roadmap.errors import Superseded
from roadmap.ids import new_id
from roadmap.llm.model import PlannedCall, Spent


class Level(StrEnum):
    BEGINNER = "beginner"
    ADVANCED = "advanced"


class Concept(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    title: str = Field(min_length=1, max_length=60)
    minutes: int = Field(ge=1, le=600)


class Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    title: str = Field(min_length=1)
    level: Level
    hours: float
    concepts: list[Concept] = Field(min_length=1, max_length=20)


class Notebook:
    """A ledger that remembers, and refuses when the run is no longer active."""

    def __init__(self) -> None:
        self.planned: dict[UUID, PlannedCall] = {}
        self.active = True
        self.run_id = new_id()

    async def reserve(self, call: PlannedCall, _finished: Sequence[Spent] = ()) -> UUID:
        if not self.active:
            raise Superseded("the run is no longer active")
        call_id = new_id()
        self.planned[call_id] = call
        return call_id
