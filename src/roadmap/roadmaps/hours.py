"""Fits a plan's minutes to the learner's time: the model proposes proportions, code does the sums."""

from dataclasses import replace
from datetime import date

from roadmap.roadmaps.model import Concept, Structure

__all__ = ["budget_minutes", "fit_minutes"]

STEP = 5
# Below six tenths of the proposed time a concept is no longer taught but mentioned: then the plan must shrink instead.
LEAST_SHARE = 0.6


def budget_minutes(hours_per_week: int, *, weeks: int | None, today: date, deadline: date | None) -> int | None:
    """The learner's minutes until the deadline, or for the weeks that they named; None when neither is known."""
    if deadline is not None:
        return max(0, (deadline - today).days) * hours_per_week * 60 // 7
    if weeks is not None:
        return weeks * hours_per_week * 60
    return None


def fit_minutes(structure: Structure, budget: int | None) -> Structure:
    """Shortens every concept by the same share until the plan fits into `budget` minutes.

    Shortens by no more than LEAST_SHARE; what still does not fit is left for the rules to find.
    """
    share = 1.0 if budget is None else max(LEAST_SHARE, min(1.0, budget / max(1, structure.minutes())))

    def shorten(concept: Concept) -> Concept:
        minutes = int(concept.minutes * share) // STEP * STEP
        return replace(concept, minutes=max(2 * STEP, minutes))

    return structure.map_concepts(shorten)
