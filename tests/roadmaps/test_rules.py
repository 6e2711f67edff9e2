"""Every rule from both sides: a plan that obeys it, and one that breaks it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_making import ROOMY, chain, concept, module, plan, stage, whole

from roadmap.roadmaps import rules
from roadmap.roadmaps.model import Structure
from roadmap.roadmaps.rules import RULES, Finding, Limits, Severity, check_plan

A, B, C = concept("a"), concept("b", "a"), concept("c", "b")


@dataclass(frozen=True)
class Case:
    """A rule, a plan that obeys it, one that breaks it, and where and in which words the rule says so."""

    rule: Callable[..., object]
    obeys: Structure
    breaks: Structure
    pointer: str
    message: str
    limits: Limits = ROOMY
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.rule.__name__} at {self.pointer or 'the plan'}"


FIRST, SECOND = "/stages/0/modules/0/concepts/0", "/stages/0/modules/0/concepts/1"
CASES = [
    Case(
        rules.unknown_prerequisite,
        plan(A, B),
        plan(A, concept("b", "x")),
        SECOND,
        "“About b” requires “x”, which is no concept",
    ),
    Case(
        rules.cycle,
        plan(A, B, C),
        plan(concept("a", "c"), B, C),
        "",
        "these concepts require each other in a circle: About a → About c → About b → About a",
    ),
    Case(
        rules.cycle,
        plan(A),
        plan(concept("a", "a")),
        "",
        "these concepts require each other in a circle: About a → About a",
    ),
    Case(
        rules.prerequisite_not_earlier,
        plan(A, B),
        plan(B, A),
        FIRST,
        "“About b” comes before “a”, which it requires",
    ),
    Case(
        rules.prerequisite_not_earlier,
        plan(A),
        plan(concept("a", "a")),
        FIRST,
        "“About a” comes before “a”, which it requires",
    ),
    Case(
        rules.duplicate_concept,
        plan(A, concept("b", "a", title="About A, again")),
        plan(A, concept("b", "a", title="  ABOUT  a ")),
        SECOND,
        "“  ABOUT  a ” is taught more than once",
    ),
    Case(
        rules.duplicate_concept,
        plan(A, B),
        plan(A, concept("a", title="Else")),
        FIRST,
        "the key “a” is used more than once",
    ),
    Case(
        rules.duplicate_prerequisite,
        plan(A, B),
        plan(A, concept("b", "a", "a")),
        SECOND,
        "“About b” names a prerequisite twice",
        severity=Severity.WARNING,
    ),
    Case(
        rules.empty_stage,
        whole(stage(module(A))),
        whole(stage(module(A)), stage(title="Rest")),
        "/stages/1",
        "the stage “Rest” has no modules",
    ),
    Case(
        rules.empty_module,
        whole(stage(module(A), module(B))),
        whole(stage(module(A), module(title="Rest"))),
        "/stages/0/modules/1",
        "the module “Rest” has no concepts",
    ),
    Case(
        rules.too_few_prerequisites,
        plan(*map(concept, "abcd"), concept("e", "a"), concept("f", "b")),
        plan(*map(concept, "abcde"), concept("f", "b")),
        "",
        "1 prerequisites among 6 concepts; name at least 2, true ones",
    ),
    Case(
        rules.concept_minutes,
        plan(concept("a", minutes=10)),
        plan(concept("a", minutes=9)),
        FIRST,
        "“About a” takes 9 minutes; allowed are 10 to 600",
    ),
    Case(
        rules.concept_minutes,
        plan(concept("a", minutes=600)),
        plan(concept("a", minutes=601)),
        FIRST,
        "“About a” takes 601 minutes; allowed are 10 to 600",
    ),
    Case(
        rules.over_budget,
        plan(A, B),
        plan(A, replace(B, minutes=61)),
        "",
        "the plan takes 121 minutes, the learner has 120 until the deadline; teach less",
        limits=Limits(1, 10, budget=120),
    ),
    Case(
        rules.plan_size,
        plan(A, B),
        plan(A),
        "",
        "the plan has 1 concepts; wanted are 2 to 3",
        limits=Limits(2, 3),
    ),
    Case(
        rules.plan_size,
        chain(3),
        chain(4),
        "",
        "the plan has 4 concepts; wanted are 2 to 3",
        limits=Limits(2, 3),
    ),
    Case(
        rules.part_size,
        whole(*[stage()] * 12),
        whole(*[stage()] * 13),
        "",
        "13 stages; at most 12",
    ),
    Case(
        rules.part_size,
        whole(stage(*[module()] * 12)),
        whole(stage(*[module()] * 13)),
        "/stages/0",
        "more than 12 modules in “Start”",
    ),
    Case(
        rules.part_size,
        plan(*[A] * 15),
        plan(*[A] * 16),
        "/stages/0/modules/0",
        "more than 15 concepts in “Basics”",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_rule_finds_what_breaks_it_and_says_where(case: Case) -> None:
    name = case.rule.__name__

    assert name not in {finding.rule for finding in check_plan(case.obeys, case.limits).findings}
    found = [finding for finding in check_plan(case.breaks, case.limits).findings if finding.rule == name]
    assert Finding(name, case.severity, case.message, case.pointer) in found


def test_every_rule_is_tried_from_both_sides() -> None:
    assert {case.rule for case in CASES} == set(RULES)


def test_a_plan_without_findings_has_the_full_score() -> None:
    report = check_plan(chain(40), ROOMY)

    assert (report.passed, report.score, report.findings) == (True, 100, ())


def test_a_warning_costs_three_points_and_does_not_stand_in_the_way() -> None:
    report = check_plan(plan(A, concept("b", "a", "a"), concept("c", "a", "a")), ROOMY)

    assert (report.passed, report.score) == (True, 94)


def test_an_error_costs_twenty_points_and_the_score_never_falls_below_none() -> None:
    one = check_plan(plan(concept("a", minutes=5)), ROOMY)
    many = check_plan(plan(*(concept(f"c{n}", minutes=5) for n in range(9))), ROOMY)

    assert (one.passed, one.score) == (False, 80)
    assert (many.passed, many.score) == (False, 0)


def test_a_prerequisite_that_is_named_twice_counts_once() -> None:
    padded = plan(*map(concept, "abcde"), concept("f", "a", "a"))

    assert "too_few_prerequisites" in {finding.rule for finding in check_plan(padded, ROOMY).findings}


def test_a_report_is_plain_values() -> None:
    report = check_plan(plan(concept("a", minutes=5)), ROOMY).dump()

    message = "“About a” takes 5 minutes; allowed are 10 to 600"
    finding = {"rule": "concept_minutes", "severity": "error", "message": message, "pointer": FIRST}
    assert report == {"score": 80, "findings": (finding,)}


def test_a_plan_of_a_thousand_concepts_in_one_chain_is_checked() -> None:
    assert check_plan(chain(1_000), ROOMY).passed


def test_a_plan_in_which_countless_ways_lead_to_the_end_is_checked_at_once() -> None:
    rows = [
        concept(f"{side}{n}", *([f"left{n - 1}", f"right{n - 1}"] if n else []))
        for n in range(60)
        for side in ("left", "right")
    ]

    assert list(rules.cycle(plan(*rows), ROOMY)) == []


def test_a_circle_through_a_thousand_concepts_is_found() -> None:
    concepts = chain(1_000).concepts()
    looped = plan(replace(concepts[0], requires=("c999",)), *concepts[1:])

    (found,) = rules.cycle(looped, ROOMY)
    assert found.message.count("→") == 1_000


NAMES = [f"c{n}" for n in range(7)]
edges = st.lists(st.sampled_from([*NAMES, "stranger"]), max_size=4)


@st.composite
def random_plans(draw: st.DrawFn, *, unique: bool = False) -> Structure:
    """Any shape, also one that no model would answer; prerequisites point anywhere."""
    names = draw(st.lists(st.sampled_from(NAMES), max_size=7, unique=unique))
    concepts = [concept(name, *draw(edges), minutes=draw(st.integers(-5, 700))) for name in names]
    cut = draw(st.integers(0, len(concepts)))
    modules = [module(*concepts[:cut]), module(*concepts[cut:])]
    return whole(stage(*modules), *[stage()] * draw(st.integers(0, 13)))


limits = st.builds(Limits, fewest=st.integers(0, 5), most=st.integers(0, 9), budget=st.none() | st.integers(0, 900))


@given(random_plans(), limits)
def test_no_plan_whatsoever_makes_the_check_fail(random_plan: Structure, limit: Limits) -> None:
    report = check_plan(random_plan, limit)

    assert 0 <= report.score <= 100
    assert report.passed == (not any(finding.severity is Severity.ERROR for finding in report.findings))


@given(random_plans(unique=True))
def test_a_circle_is_found_exactly_when_there_is_one(random_plan: Structure) -> None:
    requires = {item.id: {name for name in item.requires if name in NAMES} for item in random_plan.concepts()}
    found = [finding.message for finding in rules.cycle(random_plan, ROOMY)]

    assert bool(found) == _has_circle(requires)
    for message in found:
        circle = [title.removeprefix("About ") for title in message.partition(": ")[2].split(" → ")]
        assert circle[0] == circle[-1]
        assert all(following in requires[name] for name, following in pairwise(circle))


ORDER = (rules.unknown_prerequisite, rules.cycle, rules.prerequisite_not_earlier)


@given(random_plans(unique=True))
def test_the_order_of_study_is_accepted_exactly_when_it_respects_every_prerequisite(random_plan: Structure) -> None:
    learnt: set[str] = set()
    respected = True
    for item in random_plan.concepts():
        respected = respected and set(item.requires) <= learnt
        learnt.add(item.id)

    assert respected == (not any(list(rule(random_plan, ROOMY)) for rule in ORDER))


def _has_circle(requires: dict[str, set[str]]) -> bool:
    """By closing the relation: who requires itself in the end?"""
    reached = {name: set(names) for name, names in requires.items()}
    for _ in reached:
        for names in reached.values():
            names.update(*(reached.get(name, set()) for name in list(names)))
    return any(name in names for name, names in reached.items())
