"""From a subject to an outline: which of its concepts, in what order, in how many minutes. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roadmap.llm.offline.background import find_known
from roadmap.llm.offline.pack import LEVELS, Both, Concept, Language, Module, Stage, Subject

__all__ = ["Order", "plan_outline"]

# The code behind the model shortens a plan to six tenths of its minutes at most; this leaves it some room.
_SHRINKABLE = 0.7
_STEP = 5
_FEWEST_MINUTES = 10
# A plan needs two prerequisites for five concepts.
_EDGES_PER_CONCEPT = 0.4

_CONDENSED = Both(
    "The time is short for this much: each concept is cut down to its core, so treat the plan as a first tour.",
    "时间偏紧：每个概念都压缩到核心内容，请把这份计划当作第一遍通览。",
)


@dataclass(frozen=True, slots=True)
class Order:
    """What the plan must fit: `budget` in minutes, None for no deadline; `fewest` and `most` concepts."""

    subject: Subject
    title: str
    summary: str
    goal: str
    background: str
    level: str
    language: Language
    fewest: int
    most: int
    budget: int | None


def plan_outline(order: Order) -> dict[str, Any]:
    """The fields of `Outline`, with every prerequisite that is in the plan, and none that is not."""
    chosen = _choose(order)
    share = _share(order, chosen)
    requires = _edges(chosen)
    summary = order.summary if share == 1 else f"{order.summary} {_CONDENSED.of(order.language)}"
    concepts = {c.id: _write_concept(c, requires[c.id], share, order.language) for c in chosen}
    stages = [_write_stage(stage, concepts, order.language) for stage in order.subject.stages]
    return {"title": order.title, "summary": summary, "stages": [stage for stage in stages if stage["modules"]]}


def _choose(order: Order) -> list[Concept]:
    """The concepts of the plan in file order: first what fits the time best, then up to `fewest`, then more edges."""
    tiers = _tiers(order)
    wanted = _wanted(order, tiers)
    chosen = _take_fitting(order, tiers, wanted)
    chosen |= _fill(order, tiers, chosen)
    chosen |= _tie_together(order, chosen)
    return [concept for concept in order.subject.concepts() if concept.id in chosen]


def _tiers(order: Order) -> dict[str, int]:
    """How many levels below the learner each concept is; 0 is new to them, 3 is what they say that they know."""
    concepts = order.subject.concepts()
    level = LEVELS.index(order.level)
    known = find_known(order.background, order.subject)
    return {c.id: 3 if c.id in known else max(0, level - LEVELS.index(c.level)) for c in concepts}


def _wanted(order: Order, tiers: Mapping[str, int]) -> int:
    # What is advanced alone makes no course: one level below belongs to it.
    below = 1 if order.level == "advanced" else 0
    suitable = sum(tier <= below for tier in tiers.values())
    return max(order.fewest, min(order.most, suitable))


def _take_fitting(order: Order, tiers: Mapping[str, int], wanted: int) -> set[str]:
    """Takes the best concepts with what they build on, as long as the number and the minutes allow."""
    concepts = {concept.id: concept for concept in order.subject.concepts()}
    chosen: set[str] = set()
    for concept in _ranked(order, tiers):
        needed = _closure(concept, concepts, tiers) | chosen
        minutes = sum(concepts[name].minutes for name in needed)
        if len(needed) <= wanted and (order.budget is None or minutes * _SHRINKABLE <= order.budget):
            chosen = needed
    return chosen


def _ranked(order: Order, tiers: Mapping[str, int]) -> list[Concept]:
    """Of the learner's level first; what the goal names, then what most of the others build on."""
    concepts = order.subject.concepts()
    named = find_known(order.goal, order.subject)
    carried = _dependents(concepts)
    allowed = [concept for concept in concepts if tiers[concept.id] < 3]
    return sorted(allowed, key=lambda c: (tiers[c.id], c.id not in named, -carried[c.id]))


def _dependents(concepts: Sequence[Concept]) -> dict[str, int]:
    """How many concepts build on each one, directly or through others."""
    above: dict[str, set[str]] = {concept.id: set() for concept in concepts}
    for concept in reversed(concepts):
        for name in concept.requires:
            above[name] |= {concept.id} | above[concept.id]
    return {name: len(names) for name, names in above.items()}


def _closure(concept: Concept, concepts: Mapping[str, Concept], tiers: Mapping[str, int]) -> set[str]:
    """The concept and all that it builds on, without what lies further below the learner than itself."""
    needed, open_names = {concept.id}, list(concept.requires)
    while open_names:
        name = open_names.pop()
        if name not in needed and tiers[name] <= tiers[concept.id]:
            needed.add(name)
            open_names.extend(concepts[name].requires)
    return needed


def _fill(order: Order, tiers: Mapping[str, int], chosen: set[str]) -> set[str]:
    """The shortest concepts that are missing to `order.fewest` and whose prerequisites come along or count as known."""
    added: set[str] = set()
    left = [concept for concept in order.subject.concepts() if concept.id not in chosen]
    while left and len(chosen | added) < order.fewest:
        taken = {concept.id for concept in left}
        ready = [concept for concept in left if not _waits(concept, taken, tiers)] or left[:1]
        following = min(ready, key=lambda c: (tiers[c.id], c.minutes))
        added.add(following.id)
        left.remove(following)
    return added


def _waits(concept: Concept, left: set[str], tiers: Mapping[str, int]) -> bool:
    return any(name in left and tiers[name] <= tiers[concept.id] for name in concept.requires)


def _tie_together(order: Order, chosen: set[str]) -> set[str]:
    """Brings back the prerequisites that tie most of the plan together, until enough of it builds on itself."""
    concepts = order.subject.concepts()
    added: set[str] = set()
    while True:
        plan = chosen | added
        edges = sum(name in plan for concept in concepts if concept.id in plan for name in concept.requires)
        gains = {c.id: _uses(concepts, plan, c.id) for c in concepts if c.id not in plan}
        enough = edges >= int((len(plan) - 1) * _EDGES_PER_CONCEPT)
        if enough or not gains or len(plan) >= order.most:
            return added
        added.add(max(gains, key=gains.__getitem__))


def _uses(concepts: Sequence[Concept], plan: set[str], name: str) -> int:
    return sum(name in concept.requires for concept in concepts if concept.id in plan)


def _share(order: Order, chosen: Sequence[Concept]) -> float:
    """1, or the share of the minutes that fits when even the smallest plan is too long."""
    minutes = sum(concept.minutes for concept in chosen)
    if order.budget is None or minutes * _SHRINKABLE <= order.budget:
        return 1
    return order.budget / minutes


def _edges(chosen: Sequence[Concept]) -> dict[str, list[str]]:
    """For each concept the keys of its prerequisites that are in the plan."""
    planned = {concept.id: concept.key for concept in chosen}
    return {concept.id: [planned[name] for name in concept.requires if name in planned] for concept in chosen}


def _write_concept(concept: Concept, requires: list[str], share: float, language: Language) -> dict[str, Any]:
    minutes = concept.minutes if share == 1 else max(_FEWEST_MINUTES, int(concept.minutes * share) // _STEP * _STEP)
    return {
        "key": concept.key,
        "title": concept.title.of(language),
        "summary": concept.facts.of(language)[0],
        "minutes": minutes,
        "requires": requires,
        "objectives": list(concept.objectives.of(language)),
    }


def _write_stage(stage: Stage, concepts: Mapping[str, dict[str, Any]], language: Language) -> dict[str, Any]:
    modules = [_write_module(module, concepts, language) for module in stage.modules]
    return {"title": stage.title.of(language), "modules": [module for module in modules if module["concepts"]]}


def _write_module(module: Module, concepts: Mapping[str, dict[str, Any]], language: Language) -> dict[str, Any]:
    planned = [concepts[concept.id] for concept in module.concepts if concept.id in concepts]
    return {"title": module.title.of(language), "concepts": planned}
