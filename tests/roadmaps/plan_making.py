"""Plans to be checked: a good one, and the ways to spoil it."""

from roadmap.roadmaps.model import Concept, Module, Stage, Structure
from roadmap.roadmaps.rules import Limits

ROOMY = Limits(fewest=1, most=10_000)


def concept(key: str, *requires: str, minutes: int = 60, title: str | None = None) -> Concept:
    return Concept(
        id=key,
        key=key,
        title=title or f"About {key}",
        summary=f"What {key} is.",
        minutes=minutes,
        requires=requires,
        objectives=(f"Use {key}",),
    )


def module(*concepts: Concept, title: str = "Basics") -> Module:
    return Module(id="", title=title, concepts=concepts)


def stage(*modules: Module, title: str = "Start") -> Stage:
    return Stage(id="", title=title, modules=modules)


def plan(*concepts: Concept) -> Structure:
    """All concepts in one module of one stage."""
    return whole(stage(module(*concepts)))


def whole(*stages: Stage) -> Structure:
    return Structure(title="SQL", summary="Ask a database.", stages=stages)


def chain(length: int) -> Structure:
    """c0 ← c1 ← c2 …, ten to a module, ten modules to a stage: it breaks no rule up to 1,200 concepts."""
    concepts = [concept(f"c{n}", *([f"c{n - 1}"] if n else [])) for n in range(length)]
    modules = [module(*concepts[first : first + 10]) for first in range(0, length, 10)]
    return whole(*(stage(*modules[first : first + 10]) for first in range(0, len(modules), 10)))
