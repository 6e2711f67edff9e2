"""What the offline model thinks of a plan: it looks for the faults that no rule of form can see."""

from typing import Any

from roadmap.llm.offline.asked import Asked, records, said_language, said_line
from roadmap.llm.offline.pack import Both, Language

__all__ = ["criticise"]

_MOST_CONCEPTS_IN_MODULE = 6
_MOST_ISSUES = 10

_CROWDED = Both(
    "The module “{title}” holds {count} concepts, more than a learner can survey at once.",
    "模块“{title}”包含 {count} 个概念，超出了学习者一次能看清的范围。",
)
_SPLIT = Both(
    f"Split it into two modules of at most {_MOST_CONCEPTS_IN_MODULE} concepts each.",
    f"把它拆成两个模块，每个最多 {_MOST_CONCEPTS_IN_MODULE} 个概念。",
)
_EARLY = Both("The first concept, “{title}”, requires another one.", "第一个概念“{title}”就要求先学别的概念。")
_FREE_FIRST = Both("Open the plan with a concept that requires nothing.", "让计划从一个没有前置要求的概念开始。")


def criticise(asked: Asked) -> dict[str, Any]:
    """The fields of `Critique`."""
    language = said_language(asked)
    plan = asked.get("plan")
    modules = [
        m for stage in records(plan if isinstance(plan, dict) else {}, "stages") for m in records(stage, "modules")
    ]
    issues = [*_crowded_modules(modules, language), *_early_requirement(modules, language)][:_MOST_ISSUES]
    return {"verdict": "revise" if issues else "approve", "issues": issues}


def _crowded_modules(modules: list[Asked], language: Language) -> list[dict[str, Any]]:
    counts = [(said_line(module, "title", 200), len(list(records(module, "concepts")))) for module in modules]
    return [
        _issue(None, _CROWDED.of(language).format(title=title, count=count), _SPLIT.of(language))
        for title, count in counts
        if count > _MOST_CONCEPTS_IN_MODULE
    ]


def _early_requirement(modules: list[Asked], language: Language) -> list[dict[str, Any]]:
    first = next((concept for module in modules for concept in records(module, "concepts")), {})
    if not first.get("requires"):
        return []
    problem = _EARLY.of(language).format(title=said_line(first, "title", 200))
    return [_issue(said_line(first, "key", 80), problem, _FREE_FIRST.of(language))]


def _issue(concept: str | None, problem: str, suggestion: str) -> dict[str, Any]:
    return {"concept": concept, "problem": problem, "suggestion": suggestion}
