"""Tutorial, resources and quiz, asked of a real local provider that answers as it is told."""

import pytest
from model_server import ModelServer, answer

from roadmap.content.links import leave_unchecked
from roadmap.content.model import Assignment
from roadmap.content.quiz import write_quiz
from roadmap.content.resources import find_resources
from roadmap.content.tutorial import write_tutorial
from roadmap.errors import Unusable
from roadmap.llm.ask import Llm

GOOD = {
    "title": "PostgreSQL manual",
    "url": "https://www.postgresql.org/docs/",
    "kind": "documentation",
    "language": "en",
    "why": "It is complete.",
}
BAD_ADDRESSES = [
    "http://www.postgresql.org/docs/",
    "ftp://postgresql.org/",
    "javascript:alert(1)//a.b",
    "https://root:secret@postgresql.org/",
    "https://postgresql.org@evil.org/",
    "https://postgresql.org/the docs",
    "https://localhost/docs",
    "https://postgresql.org:port/",
    "https://postgresql.org:99999/",
    "https:///docs",
    "https://пример.org/",
    "https://[broken.org/",
    "//postgresql.org/docs",
    "",
]


def resources(*urls: str) -> dict[str, object]:
    return {"resources": [{**GOOD, "url": url} for url in urls]}


async def test_a_tutorial_is_markdown(server: ModelServer, llm: Llm, assignment: Assignment) -> None:
    server.script(answer("# Joins\n" + "words " * 100))

    body = await write_tutorial(llm, assignment)

    assert body == {"markdown": "# Joins\n" + ("words " * 100).strip()}
    told = server.calls[0].messages[1]["content"]
    assert told.startswith('<input>{"task":"tutorial","goal":"Learn \\u003c/input> SQL","language":"de"')
    assert '"before":["Tables"],"after":["Indexes"]' in told
    assert "cpt_" not in told, "our ids mean nothing to the model"


@pytest.mark.parametrize("length", [199, 60_001])
async def test_a_tutorial_that_is_too_short_or_too_long_is_none(
    server: ModelServer, llm: Llm, assignment: Assignment, length: int
) -> None:
    server.script(answer("x" * length))

    with pytest.raises(Unusable) as caught:
        await write_tutorial(llm, assignment)
    assert (caught.value.code, str(caught.value)) == (
        "tutorial_length",
        f"the model wrote {length} characters; a tutorial has 200 to 60000",
    )
    assert len(llm.spent) == 1


@pytest.mark.parametrize("length", [200, 60_000])
async def test_a_tutorial_may_have_the_least_and_the_greatest_length(
    server: ModelServer, llm: Llm, assignment: Assignment, length: int
) -> None:
    server.script(answer("x" * length))

    assert len((await write_tutorial(llm, assignment))["markdown"]) == length


async def test_resources_are_kept_as_unverified(server: ModelServer, llm: Llm, assignment: Assignment) -> None:
    server.script(answer({"resources": [GOOD]}))

    assert await find_resources(llm, leave_unchecked, assignment) == {
        "resources": [{**GOOD, "check": "unverified", "checked_at": None}],
        "rejected": [],
    }


@pytest.mark.parametrize("url", BAD_ADDRESSES)
async def test_a_bad_address_is_taken_back_to_the_model(
    server: ModelServer, llm: Llm, assignment: Assignment, url: str
) -> None:
    server.script(answer(resources(url)), answer({"resources": [GOOD]}))

    body = await find_resources(llm, leave_unchecked, assignment)

    assert [resource["url"] for resource in body["resources"]] == [GOOD["url"]]
    assert "is no https address" in server.calls[1].messages[-1]["content"]


async def test_an_address_that_is_named_twice_is_taken_back_to_the_model(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(answer(resources("https://a.org/", " https://a.org/ ")), answer({"resources": [GOOD]}))

    await find_resources(llm, leave_unchecked, assignment)

    assert "an address is named twice" in server.calls[1].messages[-1]["content"]


async def test_resources_that_stay_without_addresses_are_unusable(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(*[answer(resources("http://a.org/"))] * 3)

    with pytest.raises(Unusable) as caught:
        await find_resources(llm, leave_unchecked, assignment)
    assert caught.value.code == "model_rules"
    assert [spent.error for spent in llm.spent] == ["model_rules"] * 3


QUESTION = {
    "kind": "single",
    "prompt": "What does a join do?",
    "options": ["Pairs rows", "Drops rows", "Sorts rows", "Locks rows"],
    "correct": [0],
    "explanation": "It pairs them.",
}
QUIZ = {"questions": [{**QUESTION, "prompt": f"Question {n}?"} for n in range(5)]}


async def test_a_quiz_is_asked_with_the_tutorial_and_keeps_its_key(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(answer(QUIZ))

    body = await write_quiz(llm, assignment, "# Joins")

    assert '"tutorial":"# Joins"' in server.calls[0].messages[1]["content"]
    for question in body["questions"]:
        assert [question["options"][index] for index in question["correct"]] == ["Pairs rows"]
    assert len({tuple(question["options"]) for question in body["questions"]}) > 1


async def test_a_long_tutorial_is_cut_for_the_question(server: ModelServer, llm: Llm, assignment: Assignment) -> None:
    server.script(answer(QUIZ))

    await write_quiz(llm, assignment, "x" * 20_001)

    assert server.calls[0].messages[1]["content"].count("x") < 20_050


async def test_the_same_concept_is_always_shuffled_in_the_same_way(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(answer(QUIZ), answer(QUIZ))

    assert await write_quiz(llm, assignment, "") == await write_quiz(llm, assignment, "")


async def test_a_quiz_that_breaks_a_rule_is_taken_back_to_the_model(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(answer({"questions": [QUESTION] * 3}), answer(QUIZ))

    await write_quiz(llm, assignment, "")

    assert "- a question is asked twice" in server.calls[1].messages[-1]["content"]
