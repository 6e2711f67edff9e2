"""The knowledge pack: one hand-written JSON file per subject, read when it is first needed.

A test checks the files against every rule that this reader takes for granted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Generic, Literal, TypeVar

import orjson

from roadmap.llm.offline.corrections import Correction, find_corrections

__all__ = [
    "GENERIC",
    "LEVELS",
    "Both",
    "Concept",
    "Entry",
    "Language",
    "Module",
    "Resource",
    "Stage",
    "Subject",
    "find_concept",
    "load_index",
    "load_subject",
]

# The plan for goals that no subject covers; it is never found by its keywords.
GENERIC = "generic"
LEVELS = ("beginner", "intermediate", "advanced")

Language = Literal["en", "zh"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Both(Generic[T]):
    """The same in both languages."""

    en: T
    zh: T

    def of(self, language: Language) -> T:
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True, slots=True)
class Resource:
    title: str
    url: str
    kind: str
    language: str
    minutes: int


@dataclass(frozen=True, slots=True)
class Concept:
    """`key` is unique in the whole pack, `id` and `requires` within the subject.

    `corrections` has one place for each myth.
    """

    key: str
    id: str
    title: Both[str]
    level: str
    minutes: int
    requires: tuple[str, ...]
    objectives: Both[tuple[str, ...]]
    facts: Both[tuple[str, ...]]
    myths: Both[tuple[str, ...]]
    corrections: tuple[Correction, ...]
    example: Both[str]
    practice: Both[str]
    resources: tuple[Resource, ...]


@dataclass(frozen=True, slots=True)
class Module:
    title: Both[str]
    concepts: tuple[Concept, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    title: Both[str]
    modules: tuple[Module, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    id: str
    title: Both[str]
    summary: Both[str]
    stages: tuple[Stage, ...]

    def concepts(self) -> list[Concept]:
        """All concepts in the order of the file, which respects the prerequisites."""
        return [concept for stage in self.stages for module in stage.modules for concept in module.concepts]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a subject before it is loaded; `titles` leads from a concept's folded title to its id."""

    id: str
    title: Both[str]
    keywords: Both[tuple[str, ...]]
    titles: Mapping[str, str]


@cache
def load_index() -> Mapping[str, Entry]:
    """The entries of all subjects by id, in alphabetical order."""
    names = sorted(file.name for file in _folder().iterdir() if file.name.endswith(".json"))
    return {entry.id: entry for entry in map(_read_entry, names)}


@cache
def load_subject(subject_id: str) -> Subject:
    """Raises KeyError for a subject that the index does not name."""
    raw = _read(f"{load_index()[subject_id].id}.json")
    return Subject(
        id=raw["id"],
        title=_text(raw["title"]),
        summary=_text(raw["summary"]),
        stages=tuple(_stage(raw["id"], stage) for stage in raw["stages"]),
    )


def find_concept(key: str, title: str) -> Concept | None:
    """The concept of a key `<subject>-<id>`, else the first one with that title in either language."""
    folded = _fold(title)
    for entry in load_index().values():
        if key.startswith(f"{entry.id}-"):
            concept = _concepts(entry.id).get(key)
            if concept is not None:
                return concept
    for entry in load_index().values():
        if folded in entry.titles:
            return _concepts(entry.id)[f"{entry.id}-{entry.titles[folded]}"]
    return None


@cache
def _concepts(subject_id: str) -> Mapping[str, Concept]:
    return {concept.key: concept for concept in load_subject(subject_id).concepts()}


def _read_entry(name: str) -> Entry:
    raw = _read(name)
    concepts = [c for stage in raw["stages"] for module in stage["modules"] for c in module["concepts"]]
    return Entry(
        id=raw["id"],
        title=_text(raw["title"]),
        keywords=_lines(raw["keywords"]),
        titles={_fold(title): c["id"] for c in concepts for title in c["title"].values()},
    )


def _stage(subject_id: str, raw: dict[str, Any]) -> Stage:
    modules = (
        Module(title=_text(module["title"]), concepts=tuple(_concept(subject_id, c) for c in module["concepts"]))
        for module in raw["modules"]
    )
    return Stage(title=_text(raw["title"]), modules=tuple(modules))


def _concept(subject_id: str, raw: dict[str, Any]) -> Concept:
    return Concept(
        key=f"{subject_id}-{raw['id']}",
        id=raw["id"],
        title=_text(raw["title"]),
        level=raw["level"],
        minutes=raw["minutes"],
        requires=tuple(raw["requires"]),
        objectives=_lines(raw["objectives"]),
        facts=_lines(raw["facts"]),
        myths=_lines(raw["myths"]),
        corrections=find_corrections(raw["myths"]["en"], raw["facts"]["en"]),
        example=_text(raw["example"]),
        practice=_text(raw["practice"]),
        resources=tuple(Resource(**resource) for resource in raw["resources"]),
    )


def _text(raw: dict[str, str]) -> Both[str]:
    return Both(raw["en"], raw["zh"])


def _lines(raw: dict[str, list[str]]) -> Both[tuple[str, ...]]:
    return Both(tuple(raw["en"]), tuple(raw["zh"]))


def _fold(title: str) -> str:
    return " ".join(title.casefold().split())


def _folder() -> Any:
    return files(__package__).joinpath("pack")


def _read(name: str) -> dict[str, Any]:
    raw: dict[str, Any] = orjson.loads(_folder().joinpath(name).read_bytes())
    return raw
