"""What a model answers while it drafts, and the two things that drafting is given: steps and a ledger."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel

from roadmap.errors import Outage, Superseded
from roadmap.ids import new_id
from roadmap.llm.ask import Llm
from roadmap.llm.client import Provider
from roadmap.llm.model import PlannedCall, Spent

T = TypeVar("T", bound=BaseModel)

INTENT = {
    "title": "SQL from zero",
    "summary": "You will answer questions with a database.",
    "level": "beginner",
    "weeks": None,
    "hours_per_week": None,
}
APPROVED = {"verdict": "approve", "issues": []}
ISSUE = {"concept": "c2", "problem": "Joins come too late.", "suggestion": "Move them up."}
DISLIKED = {"verdict": "revise", "issues": [ISSUE]}


def outline(count: int = 6, *, minutes: int = 60, title: str = "SQL", **spoilt: list[str]) -> dict[str, Any]:
    """Two stages; c1 builds on c0, c2 on c1 and so on. `spoilt` gives concepts other prerequisites: c3=["c4"]."""
    concepts = [
        {
            "key": f"c{n}",
            "title": f"Part {n}",
            "summary": f"What part {n} is.",
            "minutes": minutes,
            "requires": spoilt.get(f"c{n}", [f"c{n - 1}"] if n else []),
            "objectives": [f"Do part {n}"],
        }
        for n in range(count)
    ]
    halves = concepts[: count // 2], concepts[count // 2 :]
    stages = [
        {"title": f"Stage {n}", "modules": [{"title": f"Module {n}", "concepts": h}]} for n, h in enumerate(halves)
    ]
    return {"title": title, "summary": "A course.", "stages": stages}


class Notebook:
    """A ledger in memory: a row before each call, and none for a run that has ended."""

    def __init__(self) -> None:
        self.rows: dict[UUID, PlannedCall] = {}
        self.run_id = new_id()
        self.active = True

    async def reserve(self, call: PlannedCall, _finished: Sequence[Spent] = ()) -> UUID:
        if not self.active:
            raise Superseded("the run is no longer active")
        call_id = new_id()
        self.rows[call_id] = call
        return call_id


@dataclass
class Memory:
    """Steps whose outputs are kept, as JSON, in a dict. Before the step `dies_before` its process goes away."""

    provider: Provider
    ledger: Notebook = field(default_factory=Notebook)
    outputs: dict[str, Any] = field(default_factory=dict)
    dies_before: str | None = None

    async def __call__(self, key: str, output: type[T], work: Callable[[Llm], Awaitable[T]]) -> T:
        if key in self.outputs:
            return output.model_validate(self.outputs[key])
        if key == self.dies_before:
            raise Outage("the process goes away")
        answer = await work(Llm(self.provider, self.ledger))
        self.outputs[key] = answer.model_dump(mode="json")
        return answer
