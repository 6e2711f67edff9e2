"""Minutes are fitted to the learner's time by code."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_making import concept, plan

from roadmap.roadmaps.hours import LEAST_SHARE, STEP, budget_minutes, fit_minutes
from roadmap.roadmaps.model import Structure

TODAY = date(2026, 3, 2)
minutes = st.lists(st.integers(0, 600), min_size=1, max_size=40)
budgets = st.none() | st.integers(0, 30_000)


def make(*lengths: int) -> Structure:
    return plan(*(concept(f"c{number}", minutes=length) for number, length in enumerate(lengths)))


def lengths_of(structure: Structure) -> list[int]:
    return [item.minutes for item in structure.concepts()]


@pytest.mark.parametrize(
    ("hours", "weeks", "deadline", "expected"),
    [
        (5, None, None, None),
        (5, 6, None, 1_800),
        (7, None, TODAY + timedelta(days=1), 60),
        (5, None, TODAY + timedelta(days=10), 428),
        (5, 6, TODAY + timedelta(weeks=2), 600),
        (5, None, TODAY, 0),
        (5, None, TODAY - timedelta(days=3), 0),
    ],
)
def test_the_budget_is_the_time_to_the_deadline_or_else_the_weeks(
    hours: int, weeks: int | None, deadline: date | None, expected: int | None
) -> None:
    assert budget_minutes(hours, weeks=weeks, today=TODAY, deadline=deadline) == expected


def test_a_plan_that_fits_is_only_rounded() -> None:
    assert lengths_of(fit_minutes(make(60, 63, 8, 0), 1_000)) == [60, 60, 10, 10]


def test_without_a_budget_nothing_is_shortened() -> None:
    assert lengths_of(fit_minutes(make(600, 45), None)) == [600, 45]


def test_a_plan_that_is_too_long_is_shortened_in_proportion() -> None:
    assert lengths_of(fit_minutes(make(100, 200, 300), 480)) == [80, 160, 240]


def test_no_concept_loses_more_than_two_fifths() -> None:
    assert lengths_of(fit_minutes(make(100, 200, 300), 10)) == [60, 120, 180]


@given(minutes, budgets)
def test_every_concept_gets_the_same_share(lengths: list[int], budget: int | None) -> None:
    share = 1.0 if budget is None else max(LEAST_SHARE, min(1.0, budget / max(1, sum(lengths))))

    for before, after in zip(lengths, lengths_of(fit_minutes(make(*lengths), budget)), strict=True):
        assert after % STEP == 0
        assert after == 2 * STEP or -STEP - 1e-6 < after - before * share < 1e-6


@given(minutes, budgets)
def test_the_budget_is_only_passed_when_nothing_more_may_be_cut(lengths: list[int], budget: int | None) -> None:
    fitted = fit_minutes(make(*lengths), budget)

    over = budget is not None and fitted.minutes() > budget
    assert not over or budget is None or budget < LEAST_SHARE * sum(lengths) or 2 * STEP in lengths_of(fitted)


@given(minutes, budgets)
def test_a_plan_that_was_fitted_stays_as_it_is(lengths: list[int], budget: int | None) -> None:
    fitted = fit_minutes(make(*lengths), budget)

    if budget is None or fitted.minutes() <= budget:
        assert fit_minutes(fitted, budget) == fitted
