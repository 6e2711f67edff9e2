"""A concept's content: what the model answers, and what a piece is written from."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from roadmap.llm.answer import Answer
from roadmap.roadmaps.model import Concept, LearnerLevel

__all__ = [
    "Assignment",
    "CheckedResource",
    "ContentStatus",
    "FoundResources",
    "LinkCheck",
    "Question",
    "QuestionKind",
    "QuizAnswer",
    "RejectedLink",
    "Resource",
    "ResourceKind",
    "ResourcesAnswer",
]

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]
Short = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]


class ContentStatus(StrEnum):
    PENDING = "pending"
    WRITING = "writing"
    READY = "ready"
    FAILED = "failed"


class ResourceKind(StrEnum):
    DOCUMENTATION = "documentation"
    ARTICLE = "article"
    VIDEO = "video"
    COURSE = "course"
    BOOK = "book"
    PRACTICE = "practice"


class QuestionKind(StrEnum):
    SINGLE = "single"
    MULTIPLE = "multiple"
    TRUE_FALSE = "true_false"


class Resource(Answer):
    title: Short
    url: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]
    kind: ResourceKind
    language: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8})*$")]
    why: Short


class ResourcesAnswer(Answer):
    resources: list[Resource] = Field(min_length=1, max_length=8)


class LinkCheck(StrEnum):
    """What asking for a page showed.

    VERIFIED: it is there. DEAD: it is not (404, 410, no such host). REFUSED: it must not be asked for, or leads where
    nobody must ask. UNVERIFIED: nobody could tell, or nobody asked.
    """

    VERIFIED = "verified"
    DEAD = "dead"
    UNVERIFIED = "unverified"
    REFUSED = "refused"


class CheckedResource(Resource):
    check: LinkCheck
    checked_at: datetime | None = None


class RejectedLink(BaseModel):
    """An address that the model named and that is left out."""

    url: str
    check: LinkCheck


class FoundResources(BaseModel):
    """The resources of a concept. Bodies from before links were checked have no `rejected` and no `checked_at`."""

    resources: list[CheckedResource]
    rejected: list[RejectedLink] = Field(default_factory=list)


class Question(Answer):
    """`correct` are indexes into `options`, from 0. A true_false question has exactly two options."""

    kind: QuestionKind
    prompt: Text
    options: list[Short] = Field(min_length=2, max_length=6)
    correct: list[int] = Field(min_length=1, max_length=6)
    explanation: Text


class QuizAnswer(Answer):
    questions: list[Question] = Field(min_length=3, max_length=10)


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that the model is told about the concept that it writes for."""

    goal: str
    language: str
    level: LearnerLevel
    concept: Concept
    before: tuple[str, ...]
    after: tuple[str, ...]

    def variables(self) -> dict[str, Any]:
        """As the prompts' input: the concept under the model's own key, without our ids."""
        told = ("key", "title", "summary", "minutes", "objectives")
        return {
            "goal": self.goal,
            "language": self.language,
            "level": self.level,
            "concept": {name: getattr(self.concept, name) for name in told},
            "before": self.before,
            "after": self.after,
        }
