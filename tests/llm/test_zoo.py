"""Malformed answers: read where no meaning has to be guessed, otherwise a typed failure."""

import time
from contextlib import suppress

import pytest
from answers import Notebook, Plan
from hypothesis import given, settings
from hypothesis import strategies as st
from model_server import answer, model_server
from zoo import GOOD, HOPELESS, MENDED, READ_AS_THEY_ARE, TO_BE_REPAIRED, UNPACKED, ZOO, Animal

from roadmap.errors import Unusable
from roadmap.llm.ask import Llm, no_rules
from roadmap.llm.client import Endpoint, open_provider
from roadmap.llm.model import Completion, Prompt, Usage
from roadmap.llm.structured import Wrong, read_answer

FRAGMENTS = [
    *"{}[]\"'“”,:\\/#\n\0\ud800`-1.ay ",
    "//",
    "/*",
    "*/",
    "<think>",
    "</think>",
    '"a"',
    "'a'",
    '"a": ',
    "null",
    GOOD,
]

PROMPT = Prompt("outline", "You plan.", "Plan SQL.")


def _completion(animal: Animal) -> Completion:
    return Completion(animal.text, animal.finish_reason, Usage(), animal.refused)


def _named(animals: list[Animal]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("animal", [pytest.param(animal, id=animal.name) for animal in animals])


@_named([*READ_AS_THEY_ARE, *UNPACKED, *MENDED])
def test_an_answer_with_one_meaning_is_read(animal: Animal) -> None:
    plan = read_answer(_completion(animal), Plan, no_rules)

    assert plan.model_dump(mode="json") == animal.value


@_named(TO_BE_REPAIRED)
def test_an_answer_without_a_meaning_is_a_complaint(animal: Animal) -> None:
    started = time.process_time()

    with pytest.raises(Wrong) as caught:
        read_answer(_completion(animal), Plan, no_rules)

    assert caught.value.code == animal.code
    assert caught.value.complaints
    assert time.process_time() - started < 1, "the event loop stood still"


@_named(HOPELESS)
def test_an_answer_that_no_repair_can_help_ends_at_once(animal: Animal) -> None:
    with pytest.raises(Unusable) as caught:
        read_answer(_completion(animal), Plan, no_rules)

    assert not isinstance(caught.value, Wrong)
    assert caught.value.code == animal.code


def test_the_zoo_is_large_and_every_animal_has_its_own_name() -> None:
    assert len(ZOO) >= 45
    assert len({animal.name for animal in ZOO}) == len(ZOO)


@settings(max_examples=300, deadline=1000)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40), st.integers(1, 2000))
def test_any_babble_ends_in_a_plan_or_a_complaint_within_a_second(fragments: list[str], times: int) -> None:
    animal = Animal("babble", ("".join(fragments) * times)[:200_000])

    with suppress(Wrong):
        read_answer(_completion(animal), Plan, no_rules)


async def test_every_animal_comes_to_the_same_end_over_http() -> None:
    async with model_server() as server, open_provider(Endpoint("m", server.url)) as provider:
        for animal in ZOO:
            refusal = {"refusal": "I cannot."} if animal.refused else {}
            server.default = lambda _, animal=animal, refusal=refusal: answer(
                animal.text, finish_reason=animal.finish_reason, **refusal
            )
            assert await _fate(Llm(provider, Notebook())) == (animal.code or animal.value), animal.name


async def _fate(llm: Llm) -> object:
    try:
        return (await llm.ask(PROMPT, Plan)).model_dump(mode="json")
    except Unusable as exc:
        return exc.code


async def test_whatever_is_malformed_is_mended_by_the_next_round() -> None:
    async with model_server() as server, open_provider(Endpoint("m", server.url)) as provider:
        for animal in TO_BE_REPAIRED:
            server.script(answer(animal.text, finish_reason=animal.finish_reason), answer(GOOD))
            llm = Llm(provider, Notebook())

            assert (await llm.ask(PROMPT, Plan)).title == "SQL in six weeks", animal.name
            assert [call.error for call in llm.spent] == [animal.code, None], animal.name
