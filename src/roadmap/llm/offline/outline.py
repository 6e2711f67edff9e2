"""From the prompt's input to the planner's order: for a first outline, and for one that mends findings."""

from typing import Any

from roadmap.llm.offline.asked import Asked, records, said_language, said_line, said_number
from roadmap.llm.offline.intent import describe
from roadmap.llm.offline.match import find_subject
from roadmap.llm.offline.pack import GENERIC, LEVELS, load_subject
from roadmap.llm.offline.planner import Order, plan_outline

__all__ = ["revise_outline", "write_outline"]

_FEWEST, _MOST = 15, 32
_MOST_EVER = 500
# A plan that was too long for its budget is made again for less than all of it.
_TIGHTER = 0.8


def write_outline(asked: Asked) -> dict[str, Any]:
    """The fields of `Outline`."""
    return plan_outline(_order(asked, said_number(asked, "budget_minutes")))


def revise_outline(asked: Asked) -> dict[str, Any]:
    """The outline again; with fewer minutes and concepts when the findings say that it was too long."""
    budget = said_number(asked, "budget_minutes")
    too_long = any(said_line(finding, "rule") == "over_budget" for finding in records(asked, "findings"))
    return plan_outline(_order(asked, int(budget * _TIGHTER) if too_long and budget is not None else budget))


def _order(asked: Asked, budget: int | None) -> Order:
    goal, language, level = said_line(asked, "goal"), said_language(asked), said_line(asked, "level")
    level = level if level in LEVELS else LEVELS[0]
    title, summary = describe(goal, language, level, said_number(asked, "weeks"))
    fewest = min(_MOST_EVER, max(1, said_number(asked, "fewest") or _FEWEST))
    return Order(
        subject=load_subject(find_subject(goal) or GENERIC),
        title=said_line(asked, "title", 200) or title,
        summary=said_line(asked, "summary", 800) or summary,
        goal=goal,
        background=said_line(asked, "background", 4_000),
        level=level,
        language=language,
        fewest=fewest,
        most=max(fewest, min(_MOST_EVER, said_number(asked, "most") or _MOST)),
        budget=budget,
    )
