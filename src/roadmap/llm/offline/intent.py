"""What a goal means: its subject in the pack, the learner's level and time."""

from typing import Any

from roadmap.llm.offline.asked import Asked, said_language, said_line
from roadmap.llm.offline.goal import read_hours_per_week, read_level, read_weeks
from roadmap.llm.offline.match import find_subject
from roadmap.llm.offline.pack import GENERIC, LEVELS, Both, Language, load_subject

__all__ = ["read_intent"]

_LONGEST_GOAL = 120

_IN_WEEKS = Both("{title} in {weeks} weeks", "{title}：{weeks} 周计划")
_IN_ONE_WEEK = Both("{title} in one week", "{title}：一周计划")
_AT_LEVEL = {
    "beginner": Both("{title}", "{title}"),
    "intermediate": Both("{title}: beyond the basics", "{title}：进阶"),
    "advanced": Both("{title} in depth", "{title}：深入掌握"),
}
_GENERIC_TITLE = Both("A generic plan: {goal}", "通用学习计划：{goal}")
_GENERIC_SUMMARY = Both(
    "The offline model has no knowledge pack for this goal. This generic plan teaches how to learn any subject well; "
    "apply each of its concepts to your goal, or connect a real model for a plan of the subject itself.",
    "离线模型没有与这个目标对应的知识包。这份通用计划讲的是如何学好任何一门学科：请把其中每个概念用到你的目标上，"
    "或接入真正的模型来获得针对该学科的计划。",
)


def read_intent(asked: Asked) -> dict[str, Any]:
    """The fields of `Intent`. Level and time come from the learner's fields, else from the goal's words."""
    goal, language = said_line(asked, "goal"), said_language(asked)
    wished = said_line(asked, "level")
    level = wished if wished in LEVELS else read_level(goal, said_line(asked, "background"))
    weeks = read_weeks(goal)
    title, summary = describe(goal, language, level, weeks)
    return {
        "title": title,
        "summary": summary,
        "level": level,
        "weeks": weeks,
        "hours_per_week": read_hours_per_week(goal),
    }


def describe(goal: str, language: Language, level: str, weeks: int | None) -> tuple[str, str]:
    """The roadmap's title and summary; for a goal that no subject covers they say so."""
    subject_id = find_subject(goal)
    if subject_id is None:
        short = goal if len(goal) <= _LONGEST_GOAL else f"{goal[:_LONGEST_GOAL].rstrip()}…"
        title = _GENERIC_TITLE.of(language).format(goal=short or load_subject(GENERIC).title.of(language))
        return title, _GENERIC_SUMMARY.of(language)
    subject = load_subject(subject_id)
    form = _AT_LEVEL[level] if weeks is None else _IN_ONE_WEEK if weeks == 1 else _IN_WEEKS
    return form.of(language).format(title=subject.title.of(language), weeks=weeks), subject.summary.of(language)
