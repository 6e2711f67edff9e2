"""What is read from the words of a goal."""

import pytest
from asking import ask

from roadmap.drafting.model import Intent
from roadmap.llm.offline.goal import read_hours_per_week, read_level, read_weeks
from roadmap.llm.offline.match import find_subject


@pytest.mark.parametrize(
    ("goal", "weeks"),
    [
        ("Learn SQL in six weeks", 6),
        ("a six-week course", 6),
        ("within 30 days", 4),
        ("in 3 months", 13),
        ("in half a year", 26),
        ("in a couple of months", 9),
        ("by next year, in 2 years", 104),
        ("in a week", 1),
        ("五周学会", 5),
        ("六周学会 SQL", 6),
        ("三个月内", 13),
        ("30天入门", 4),
        ("十二个星期", 12),
        ("半年内", 26),
        ("Learn SQL, 5 hours a week", None),
        ("每周5小时", None),
        ("一周五小时", None),
        ("Learn SQL", None),
    ],
)
def test_the_period_is_read_in_whole_weeks(goal: str, weeks: int | None) -> None:
    assert read_weeks(goal) == weeks


@pytest.mark.parametrize(
    ("goal", "hours"),
    [
        ("5 hours a week", 5),
        ("5h/week for 3 months", 5),
        ("ten hours per week", 10),
        ("an hour a day", 7),
        ("30 minutes a day", 4),
        ("2 hours daily", 14),
        ("every week 4 hours", 4),
        ("每周5小时", 5),
        ("每周十五个小时", 15),
        ("每天1小时，三个月", 7),
        ("每天学半小时", 4),
        ("一周五个小时", 5),
        ("in six weeks", None),
        ("a 2 hours film", None),
    ],
)
def test_the_pace_is_read_in_whole_hours_a_week(goal: str, hours: int | None) -> None:
    assert read_hours_per_week(goal) == hours


@pytest.mark.parametrize(
    ("texts", "level"),
    [
        (["Learn SQL", ""], "beginner"),
        (["SQL from scratch"], "beginner"),
        (["零基础学数据库"], "beginner"),
        (["Advanced PostgreSQL tuning"], "advanced"),
        (["精通 Linux"], "advanced"),
        (["Learn SQL", "I already know the basics"], "intermediate"),
        (["Python 进阶"], "intermediate"),
    ],
)
def test_the_level_is_read_from_goal_and_background(texts: list[str], level: str) -> None:
    assert read_level(*texts) == level


@pytest.mark.parametrize(
    ("goal", "subject"),
    [
        ("Learn SQL in six weeks", "sql"),
        ("六周学会数据库", "sql"),
        ("I know nothing about PostgreSQL", "sql"),
        ("MySQL", "sql"),
        ("Learn statistics for machine learning", "statistics"),
        ("Learn Python for data analysis", "python"),
        ("用python做自动化", "python"),
        ("LEARN SPANISH", "spanish"),
        ("我想学理财", "personal-finance"),
        ("Learn to juggle", None),
        ("nosqlite", None),
        ("", None),
    ],
)
def test_a_goal_finds_its_subject_or_none(goal: str, subject: str | None) -> None:
    assert find_subject(goal) == subject


def test_the_learners_own_level_goes_before_the_goals_words() -> None:
    intent = Intent.model_validate(
        ask("intent", goal="SQL from scratch in two weeks, 3 hours a week", level="advanced")
    )
    assert (intent.level, intent.weeks, intent.hours_per_week) == ("advanced", 2, 3)
    assert intent.title == "SQL and relational databases in 2 weeks"


def test_a_chinese_title_names_the_weeks() -> None:
    assert ask("intent", goal="六周学会数据库", language="zh")["title"].endswith("6 周计划")
