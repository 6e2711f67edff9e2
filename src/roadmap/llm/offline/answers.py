"""What the offline model answers to each task."""

from collections.abc import Callable, Mapping
from typing import Any

from roadmap.llm.offline.asked import Asked
from roadmap.llm.offline.intent import read_intent
from roadmap.llm.offline.outline import revise_outline, write_outline
from roadmap.llm.offline.quiz import write_quiz
from roadmap.llm.offline.resources import name_resources
from roadmap.llm.offline.review import criticise
from roadmap.llm.offline.topic import read_topic
from roadmap.llm.offline.writer import write_tutorial

__all__ = ["TASKS", "answer"]

_UNKNOWN = "offline provider: this built-in model answers Roadmap's own prompts only, and this is none of them."

TASKS: Mapping[str, Callable[[Asked], dict[str, Any] | str]] = {
    "intent": read_intent,
    "outline": write_outline,
    "revise": revise_outline,
    "critique": criticise,
    "tutorial": lambda asked: write_tutorial(read_topic(asked)),
    "resources": lambda asked: name_resources(read_topic(asked)),
    "quiz": lambda asked: write_quiz(read_topic(asked)),
}


def answer(asked: Asked) -> dict[str, Any] | str:
    """JSON fields or Markdown; a plain, honest sentence for what is no task of Roadmap's."""
    task = TASKS.get(str(asked.get("task")))
    return task(asked) if task else _UNKNOWN
