"""The schema of an answer is one that strict providers accept."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from answers import Plan
from pydantic import BaseModel, Field

from roadmap.content.model import QuizAnswer, ResourcesAnswer
from roadmap.drafting.model import Critique, Intent, Outline
from roadmap.llm.schema import strict_schema


class Cat(BaseModel):
    kind: Literal["cat"]
    title: str = Field("Tom", max_length=20)


class Dog(BaseModel):
    kind: Literal["dog"]
    default: int | None = None


class Size(StrEnum):
    SMALL = "small"


class Kennel(BaseModel):
    """Where they live."""

    animal: Annotated[Cat | Dog, Field(discriminator="kind", description="who lives here")]
    size: Size = Field(description="of the kennel")


class Tree(BaseModel):
    children: list["Tree"]


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for item in node:
            yield from _objects(item)
    if isinstance(node, dict):
        yield node
        for item in node.values():
            yield from _objects(item)


@pytest.mark.parametrize("answer", [Plan, Kennel, Intent, Outline, Critique, QuizAnswer, ResourcesAnswer])
def test_every_object_is_closed_and_every_property_required(answer: type[BaseModel]) -> None:
    for node in _objects(strict_schema(answer)):
        assert not {"$ref", "$defs", "oneOf", "allOf", "discriminator"} & set(node)
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])


def test_a_property_may_be_called_like_a_keyword_of_the_schema() -> None:
    animal = strict_schema(Kennel)["properties"]["animal"]

    assert [list(kind["properties"]) for kind in animal["anyOf"]] == [["kind", "title"], ["kind", "default"]]


def test_descriptions_survive_beside_a_reference() -> None:
    assert strict_schema(Kennel)["properties"]["size"] == {
        "type": "string",
        "enum": ["small"],
        "description": "of the kennel",
    }


def test_an_answer_that_contains_itself_is_refused() -> None:
    with pytest.raises(TypeError, match="must not contain itself: Tree"):
        strict_schema(Tree)
