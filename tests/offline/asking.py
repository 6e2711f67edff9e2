"""Inputs as the prompts send them, and the whole pack as test parameters."""

from typing import Any

from roadmap.llm.offline.answers import answer
from roadmap.llm.offline.pack import Concept, Language, load_index, load_subject

LANGUAGES: tuple[Language, ...] = ("en", "zh")
SUBJECTS = tuple(load_index())
CONCEPTS = tuple(concept for subject in SUBJECTS for concept in load_subject(subject).concepts())


def ask(task: str, **asked: Any) -> dict[str, Any]:
    """The answer to a task that is answered in JSON."""
    said = answer({"task": task, "language": "en", "background": "", **asked})
    assert isinstance(said, dict)
    return said


def about(concept: Concept, language: Language = "en", /, **more: Any) -> dict[str, Any]:
    """What a content prompt says of a concept."""
    told = {
        "key": concept.key,
        "title": concept.title.of(language),
        "summary": concept.facts.of(language)[0],
        "minutes": concept.minutes,
        "objectives": list(concept.objectives.of(language)),
    }
    asked = {"goal": "Learn it in six weeks", "language": language, "level": "beginner", "concept": told}
    return {**asked, "before": ["What came before"], "after": ["What comes after"], **more}


def write(concept: Concept, language: Language = "en", /, **more: Any) -> str:
    """A tutorial."""
    said = answer({"task": "tutorial", **about(concept, language, **more)})
    assert isinstance(said, str)
    return said
