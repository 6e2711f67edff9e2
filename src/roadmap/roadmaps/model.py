"""The words of a roadmap: what was wished for, and the plan as stages, modules and concepts."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any, Self

__all__ = [
    "SIZES",
    "Concept",
    "Format",
    "Kind",
    "LearnerLevel",
    "Module",
    "RunStatus",
    "Size",
    "Stage",
    "Structure",
    "Wishes",
]


class RunStatus(StrEnum):
    """Of a run, and of the roadmap whose latest one it is."""

    QUEUED = "queued"
    DRAFTING = "drafting"
    WRITING = "writing"
    SUCCEEDED = "succeeded"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELED = "canceled"


class LearnerLevel(StrEnum):
    BEGINNER = "beginner"
    INTERMEDIATE = "intermediate"
    ADVANCED = "advanced"


class Size(StrEnum):
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


class Format(StrEnum):
    VISUAL = "visual"
    TEXT = "text"
    AUDIO = "audio"
    HANDS_ON = "hands_on"


class Kind(StrEnum):
    """The content that a concept holds, in the order in which it is read."""

    TUTORIAL = "tutorial"
    RESOURCES = "resources"
    QUIZ = "quiz"


@dataclass(frozen=True, slots=True)
class SizeLimits:
    fewest: int
    most: int


SIZES = {Size.SMALL: SizeLimits(5, 14), Size.MEDIUM: SizeLimits(15, 32), Size.LARGE: SizeLimits(22, 60)}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the learner asked for. None: they did not say, and drafting reads it from the goal or assumes a default."""

    goal: str
    level: LearnerLevel | None = None
    hours_per_week: int | None = None
    deadline: date | None = None
    background: str = ""
    motivation: str = ""
    formats: tuple[Format, ...] = ()
    language: str = "en"
    size: Size = Size.MEDIUM
    kinds: tuple[Kind, ...] = tuple(Kind)

    def preferences(self) -> dict[str, Any]:
        """Everything but the goal, which has a column of its own."""
        return {name: value for name, value in asdict(self).items() if name != "goal"}

    @classmethod
    def load(cls, goal: str, preferences: dict[str, Any]) -> Self:
        """The opposite of `preferences`; unknown names, from a newer version of the code, are left out."""
        known = {name: value for name, value in preferences.items() if name in cls.__slots__}
        level, deadline = known.get("level"), known.get("deadline")
        known["level"] = LearnerLevel(level) if level else None
        known["deadline"] = date.fromisoformat(deadline) if deadline else None
        known["formats"] = tuple(map(Format, known.get("formats", ())))
        known["size"] = Size(known.get("size", Size.MEDIUM))
        known["kinds"] = tuple(map(Kind, known.get("kinds", tuple(Kind))))
        return cls(goal=goal, **known)


@dataclass(frozen=True, slots=True)
class Concept:
    """The smallest thing taught. `requires` names concepts by id; `key` is the model's own name for it."""

    id: str
    key: str
    title: str
    summary: str
    minutes: int
    requires: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Module:
    id: str
    title: str
    concepts: tuple[Concept, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    id: str
    title: str
    modules: tuple[Module, ...]


@dataclass(frozen=True, slots=True)
class Structure:
    """A plan. Immutable: an edit makes a new one. Concept ids are stable over versions."""

    title: str
    summary: str
    stages: tuple[Stage, ...]

    def concepts(self) -> list[Concept]:
        """All concepts in the order of study."""
        return [concept for stage in self.stages for module in stage.modules for concept in module.concepts]

    def places(self) -> Iterator[tuple[str, Concept]]:
        """Each concept with its JSON pointer (RFC 6901), in the order of study."""
        for s, stage in enumerate(self.stages):
            for m, module in enumerate(stage.modules):
                for c, concept in enumerate(module.concepts):
                    yield f"/stages/{s}/modules/{m}/concepts/{c}", concept

    def minutes(self) -> int:
        return sum(concept.minutes for concept in self.concepts())

    def map_concepts(self, change: Callable[[Concept], Concept]) -> Self:
        return replace(self, stages=tuple(_map_stage(stage, change) for stage in self.stages))

    def dump(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Self:
        stages = tuple(_load_stage(stage) for stage in stored["stages"])
        return cls(title=stored["title"], summary=stored["summary"], stages=stages)


def _map_stage(stage: Stage, change: Callable[[Concept], Concept]) -> Stage:
    modules = (replace(m, concepts=tuple(map(change, m.concepts))) for m in stage.modules)
    return replace(stage, modules=tuple(modules))


def _load_stage(stored: dict[str, Any]) -> Stage:
    modules = tuple(
        Module(id=m["id"], title=m["title"], concepts=tuple(_load_concept(c) for c in m["concepts"]))
        for m in stored["modules"]
    )
    return Stage(id=stored["id"], title=stored["title"], modules=modules)


def _load_concept(stored: dict[str, Any]) -> Concept:
    return Concept(
        id=stored["id"],
        key=stored["key"],
        title=stored["title"],
        summary=stored["summary"],
        minutes=stored["minutes"],
        requires=tuple(stored["requires"]),
        objectives=tuple(stored["objectives"]),
    )
