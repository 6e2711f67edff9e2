"""What a piece of content is written about: the pack's concept, with what the prompt says about the learner."""

from dataclasses import dataclass
from typing import TypeVar
from zlib import crc32

from roadmap.llm.offline.asked import Asked, said_language, said_line, said_lines, said_number
from roadmap.llm.offline.pack import GENERIC, Concept, Language, find_concept, load_subject

__all__ = ["Topic", "choose", "plain", "read_topic", "spread"]

T = TypeVar("T")

_MARKS = str.maketrans({c: f"\\{c}" for c in "\\`*_[]#|<>"} | {"\n": " "})


@dataclass(frozen=True, slots=True)
class Topic:
    """`covered` is False when the pack knows nothing of `title`: then `concept` is one about learning itself."""

    concept: Concept
    covered: bool
    title: str
    goal: str
    language: Language
    minutes: int
    objectives: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]


def read_topic(asked: Asked) -> Topic:
    """Never fails: a concept that the pack does not hold gets one of the generic subject's."""
    said = asked.get("concept")
    told: Asked = said if isinstance(said, dict) else {}
    key, title, language = said_line(told, "key", 100), said_line(told, "title", 200), said_language(asked)
    found = find_concept(key, title)
    concept = found or spread(tuple(load_subject(GENERIC).concepts()), f"{key}/{title}")
    return Topic(
        concept=concept,
        covered=found is not None,
        title=title or concept.title.of(language),
        goal=said_line(asked, "goal", 200),
        language=language,
        minutes=said_number(told, "minutes") or concept.minutes,
        objectives=(said_lines(told, "objectives", 8) if found else ()) or concept.objectives.of(language),
        before=said_lines(asked, "before", 3),
        after=said_lines(asked, "after", 3),
    )


def spread(choices: tuple[T, ...], name: str) -> T:
    """One of the choices, always the same for a name."""
    return choices[crc32(name.encode()) % len(choices)]


def choose(topic: Topic, slot: str, choices: tuple[T, ...]) -> T:
    """One of the choices, by the concept and the place where it is needed."""
    return spread(choices, f"{topic.concept.key}/{slot}")


def plain(text: str) -> str:
    """The text with Markdown's own characters escaped."""
    return text.translate(_MARKS)
