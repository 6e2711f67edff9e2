"""The rules that a plan obeys, as pure functions. Each finding has a rule's id, a message and a location.

The score is recomputable by anyone: 100, less 20 for each error and 3 for each warning, and never below 0.
A plan with an error is not accepted; warnings are shown.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from roadmap.roadmaps.model import Concept, Structure

__all__ = ["RULES", "Finding", "Limits", "Report", "Severity", "check_plan"]

FEWEST_MINUTES = 10
MOST_MINUTES = 600
MOST_STAGES = 12
MOST_MODULES_IN_STAGE = 12
MOST_CONCEPTS_IN_MODULE = 15
# A plan whose concepts hardly build on each other is a list of topics: two edges for five concepts, rounded down.
EDGES_PER_CONCEPT = 0.4


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


PENALTY = {Severity.ERROR: 20, Severity.WARNING: 3}


@dataclass(frozen=True, slots=True)
class Limits:
    """What this learner's plan must fit into. `budget` is in minutes; None: no deadline was given or read."""

    fewest: int
    most: int
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """`pointer` is an RFC 6901 JSON pointer into the structure; empty: the whole plan."""

    rule: str
    severity: Severity
    message: str
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    score: int
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    def dump(self) -> dict[str, Any]:
        return asdict(self)


def check_plan(structure: Structure, limits: Limits) -> Report:
    """Every rule over the whole plan; never stops at the first finding, so that one revision can mend them all."""
    findings = tuple(finding for rule in RULES for finding in rule(structure, limits))
    lost = sum(PENALTY[finding.severity] for finding in findings)
    return Report(score=max(0, 100 - lost), findings=findings)


def unknown_prerequisite(structure: Structure, _limits: Limits) -> Iterator[Finding]:
    known = {concept.id for concept in structure.concepts()}
    for pointer, concept in structure.places():
        for name in concept.requires:
            if name not in known:
                yield _error(
                    "unknown_prerequisite", f"“{concept.title}” requires “{name}”, which is no concept", pointer
                )


def cycle(structure: Structure, _limits: Limits) -> Iterator[Finding]:
    loop = _find_cycle({concept.id: concept for concept in structure.concepts()})
    if loop:
        yield _error("cycle", "these concepts require each other in a circle: " + " → ".join(c.title for c in loop))


def prerequisite_not_earlier(structure: Structure, _limits: Limits) -> Iterator[Finding]:
    position = {concept.id: index for index, concept in enumerate(structure.concepts())}
    for pointer, concept in structure.places():
        for name in concept.requires:
            if position.get(name, -1) >= position[concept.id]:
                message = f"“{concept.title}” comes before “{name}”, which it requires"
                yield _error("prerequisite_not_earlier", message, pointer)


def duplicate_concept(structure: Structure, _limits: Limits) -> Iterator[Finding]:
    ids = Counter(concept.id for concept in structure.concepts())
    titles = Counter(_normal(concept.title) for concept in structure.concepts())
    for pointer, concept in structure.places():
        if ids[concept.id] > 1:
            yield _error("duplicate_concept", f"the key “{concept.id}” is used more than once", pointer)
        elif titles[_normal(concept.title)] > 1:
            yield _error("duplicate_concept", f"“{concept.title}” is taught more than once", pointer)


def duplicate_prerequisite(structure: Structure, _limits: Limits) -> Iterator[Finding]:
    for pointer, concept in structure.places():
        if len(set(concept.requires)) < len(concept.requires):
            yield _warning("duplicate_prerequisite", f"“{concept.title}” names a prerequisite twice", pointer)


def empty_stage(structure: Structure, _limits: Limits) -> Iterator[Finding]:
    for s, stage in enumerate(structure.stages):
        if not stage.modules:
            yield _error("empty_stage", f"the stage “{stage.title}” has no modules", f"/stages/{s}")


def empty_module(structure: Structure, _limits: Limits) -> Iterator[Finding]:
    for s, stage in enumerate(structure.stages):
        for m, module in enumerate(stage.modules):
            if not module.concepts:
                yield _error("empty_module", f"the module “{module.title}” has no concepts", f"/stages/{s}/modules/{m}")


def too_few_prerequisites(structure: Structure, _limits: Limits) -> Iterator[Finding]:
    concepts = structure.concepts()
    edges = sum(len(set(concept.requires)) for concept in concepts)
    wanted = int((len(concepts) - 1) * EDGES_PER_CONCEPT)
    if edges < wanted:
        message = f"{edges} prerequisites among {len(concepts)} concepts; name at least {wanted}, true ones"
        yield _error("too_few_prerequisites", message)


def concept_minutes(structure: Structure, _limits: Limits) -> Iterator[Finding]:
    for pointer, concept in structure.places():
        if not FEWEST_MINUTES <= concept.minutes <= MOST_MINUTES:
            message = (
                f"“{concept.title}” takes {concept.minutes} minutes; allowed are {FEWEST_MINUTES} to {MOST_MINUTES}"
            )
            yield _error("concept_minutes", message, pointer)


def over_budget(structure: Structure, limits: Limits) -> Iterator[Finding]:
    total = structure.minutes()
    if limits.budget is not None and total > limits.budget:
        message = f"the plan takes {total} minutes, the learner has {limits.budget} until the deadline; teach less"
        yield _error("over_budget", message)


def plan_size(structure: Structure, limits: Limits) -> Iterator[Finding]:
    count = len(structure.concepts())
    if not limits.fewest <= count <= limits.most:
        yield _error("plan_size", f"the plan has {count} concepts; wanted are {limits.fewest} to {limits.most}")


def part_size(structure: Structure, _limits: Limits) -> Iterator[Finding]:
    if len(structure.stages) > MOST_STAGES:
        yield _error("part_size", f"{len(structure.stages)} stages; at most {MOST_STAGES}")
    for s, stage in enumerate(structure.stages):
        if len(stage.modules) > MOST_MODULES_IN_STAGE:
            yield _error("part_size", f"more than {MOST_MODULES_IN_STAGE} modules in “{stage.title}”", f"/stages/{s}")
        for m, module in enumerate(stage.modules):
            if len(module.concepts) > MOST_CONCEPTS_IN_MODULE:
                message = f"more than {MOST_CONCEPTS_IN_MODULE} concepts in “{module.title}”"
                yield _error("part_size", message, f"/stages/{s}/modules/{m}")


Rule = Callable[[Structure, Limits], Iterator[Finding]]
RULES: tuple[Rule, ...] = (
    unknown_prerequisite,
    cycle,
    prerequisite_not_earlier,
    duplicate_concept,
    duplicate_prerequisite,
    empty_stage,
    empty_module,
    too_few_prerequisites,
    concept_minutes,
    over_budget,
    plan_size,
    part_size,
)


def _find_cycle(concepts: dict[str, Concept]) -> list[Concept]:
    """The first circle of prerequisites, closed (first is last), or nothing. Iterative: a plan may be a long chain."""
    finished: set[str] = set()
    for start in concepts:
        path: dict[str, Iterator[str]] = {}
        current: str | None = start
        while current is not None:
            if current not in path:
                path[current] = iter(concepts[current].requires)
            following = next((n for n in path[current] if n in concepts and n not in finished), None)
            if following in path:
                names = list(path)
                return [concepts[n] for n in [*names[names.index(following) :], following]]
            if following is None:
                finished.add(current)
                del path[current]
                following = next(reversed(path), None)
            current = following
    return []


def _normal(title: str) -> str:
    return " ".join(title.casefold().split())


def _error(rule: str, message: str, pointer: str = "") -> Finding:
    return Finding(rule, Severity.ERROR, message, pointer)


def _warning(rule: str, message: str, pointer: str = "") -> Finding:
    return Finding(rule, Severity.WARNING, message, pointer)
