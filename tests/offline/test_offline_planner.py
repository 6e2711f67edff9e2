"""Outlines obey the rules for every subject, level, size and budget."""

import itertools
from typing import Any

import orjson
import pytest
from asking import LANGUAGES, SUBJECTS, ask

from roadmap.drafting.model import Critique, Intent, Outline
from roadmap.drafting.outline import shape_outline
from roadmap.llm.offline.pack import GENERIC, LEVELS, load_subject
from roadmap.roadmaps.hours import fit_minutes
from roadmap.roadmaps.model import SIZES, Structure
from roadmap.roadmaps.rules import Limits, check_plan

BUDGETS = (None, 300, 600, 1_200, 1_800, 6_000)
SQL = "Learn SQL"


def goal_of(subject: str) -> str:
    return "Learn to juggle" if subject == GENERIC else f"Learn {load_subject(subject).title.en}"


def outline(goal: str, **wishes: Any) -> Outline:
    order = {"level": "beginner", "fewest": 15, "most": 32, "budget_minutes": None, **wishes}
    return Outline.model_validate(ask("outline", goal=goal, **order))


def plan(goal: str, **wishes: Any) -> Structure:
    return fit_minutes(shape_outline(outline(goal, **wishes)), wishes.get("budget_minutes"))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_outline_of_a_subject_obeys_the_rules(subject: str) -> None:
    for level, size, budget in itertools.product(LEVELS, SIZES.values(), BUDGETS):
        limits = Limits(size.fewest, size.most, budget)
        wishes = {"fewest": size.fewest, "most": size.most, "level": level, "budget_minutes": budget}
        report = check_plan(plan(goal_of(subject), **wishes), limits)
        assert report.findings == (), (level, size, budget)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_outline_speaks_the_language_of_the_learner(language: str) -> None:
    concepts = shape_outline(outline(SQL, language=f"{language}-XX")).concepts()
    subject = load_subject("sql")
    assert [c.title for c in concepts] == [c.title.of("zh" if language == "zh" else "en") for c in subject.concepts()]


def test_an_intermediate_learner_is_spared_what_is_new_to_beginners() -> None:
    levels = {concept.key: concept.level for concept in load_subject("sql").concepts()}
    planned = [levels[concept.id] for concept in plan(SQL, level="intermediate").concepts()]
    assert planned.count("beginner") <= len(planned) // 4


def test_a_tight_budget_gives_fewer_concepts_not_just_shorter_ones() -> None:
    roomy, tight = plan(SQL, fewest=5, budget_minutes=1_800), plan(SQL, fewest=5, budget_minutes=600)
    assert len(tight.concepts()) < len(roomy.concepts())
    assert tight.minutes() <= 600


def test_a_plan_that_must_be_condensed_says_so() -> None:
    assert "cut down to its core" in outline(SQL, budget_minutes=300).summary
    assert "cut down" not in outline(SQL, budget_minutes=6_000).summary


def test_what_the_background_names_is_left_out() -> None:
    known = plan(SQL, background="I use SELECT and WHERE every day. I have never heard of window functions.")
    keys = {concept.id for concept in known.concepts()}
    assert "sql-select-where" not in keys
    assert "sql-window-functions" in keys


def test_a_revision_of_a_plan_that_was_too_long_takes_less_time() -> None:
    findings = [{"rule": "over_budget", "severity": "error", "message": "too long", "pointer": ""}]
    order = {"goal": SQL, "level": "beginner", "fewest": 5, "most": 32, "budget_minutes": 900}
    first = Outline.model_validate(ask("outline", **order))
    second = Outline.model_validate(ask("revise", **order, plan=first.model_dump(), findings=findings))
    assert shape_outline(second).minutes() < shape_outline(first).minutes()


def test_the_critic_approves_what_the_planner_made() -> None:
    for subject, level in itertools.product(SUBJECTS, LEVELS):
        made = outline(goal_of(subject), level=level).model_dump()
        said = Critique.model_validate(ask("critique", goal=goal_of(subject), level=level, plan=made, rules={}))
        assert said.verdict == "approve", said.issues


def test_the_critic_objects_to_a_crowded_module_and_to_a_first_concept_with_prerequisites() -> None:
    concepts = [{"key": f"c-{n}", "title": f"C {n}", "requires": ["c-5"]} for n in range(7)]
    made = {"stages": [{"title": "S", "modules": [{"title": "Crowded", "concepts": concepts}]}]}
    said = Critique.model_validate(ask("critique", plan=made))
    assert said.verdict == "revise"
    assert "Crowded" in said.issues[0].problem
    assert said.issues[1].concept == "c-0"


def test_an_unknown_goal_gets_a_plan_that_is_declared_generic() -> None:
    intent = Intent.model_validate(ask("intent", goal="Learn to juggle"))
    assert intent.title == "A generic plan: Learn to juggle"
    assert "no knowledge pack" in intent.summary
    made = shape_outline(outline("Learn to juggle", title=intent.title, summary=intent.summary))
    assert made.title == intent.title
    assert len(made.concepts()) >= 20
    assert all(concept.id.startswith("generic-") for concept in made.concepts())


def test_the_generic_plan_is_declared_in_chinese_too() -> None:
    intent = Intent.model_validate(ask("intent", goal="学会杂耍", language="zh-CN"))
    assert intent.title == "通用学习计划：学会杂耍"
    assert "没有与这个目标对应的知识包" in intent.summary


def test_the_same_order_gives_the_same_bytes() -> None:
    order = {"goal": SQL, "level": "advanced", "fewest": 15, "most": 32, "budget_minutes": 900, "background": "joins"}
    assert orjson.dumps(ask("outline", **order)) == orjson.dumps(ask("outline", **order))


@pytest.mark.parametrize("nonsense", [{}, {"goal": 7, "fewest": "x", "most": -1}, {"goal": "", "level": "guru"}])
def test_an_order_that_makes_no_sense_still_gets_an_outline(nonsense: dict[str, Any]) -> None:
    Outline.model_validate(ask("outline", **nonsense))
    Intent.model_validate(ask("intent", **nonsense))
    Critique.model_validate(ask("critique", **nonsense))
