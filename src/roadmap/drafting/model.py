"""What the model answers while it drafts. Keys are the model's own; ids, order and sums are given by code."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from roadmap.llm.answer import Answer
from roadmap.roadmaps.model import LearnerLevel

__all__ = ["Critique", "Intent", "Issue", "Outline", "OutlineConcept", "OutlineModule", "OutlineStage"]

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Paragraph = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
Key = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")]


class Intent(Answer):
    """What the goal means. `weeks` and `hours_per_week` only when the learner's words name them."""

    title: Line
    summary: Paragraph
    level: LearnerLevel
    weeks: Annotated[int, Field(ge=1, le=520)] | None = None
    hours_per_week: Annotated[int, Field(ge=1, le=168)] | None = None


class OutlineConcept(Answer):
    key: Key
    title: Line
    summary: Paragraph
    # Wider than the rules, whose complaints are better; but no number that sums could choke on.
    minutes: Annotated[int, Field(ge=0, le=100_000)]
    requires: list[Key] = Field(max_length=20)
    objectives: list[Line] = Field(min_length=1, max_length=8)


class OutlineModule(Answer):
    title: Line
    concepts: list[OutlineConcept]


class OutlineStage(Answer):
    title: Line
    modules: list[OutlineModule]


class Outline(Answer):
    """A proposed plan: prerequisites by key, minutes as proportions that code fits to the learner's time."""

    title: Line
    summary: Paragraph
    stages: list[OutlineStage] = Field(min_length=1)


class Issue(Answer):
    concept: str | None = None
    problem: Paragraph
    suggestion: Paragraph


class Critique(Answer):
    """The model's opinion of a plan that obeys the rules; it comes on top of them, never instead."""

    verdict: Literal["approve", "revise"]
    issues: list[Issue] = Field(max_length=20)
