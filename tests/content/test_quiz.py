"""The rules of a quiz from both sides, and the shuffle that keeps its key."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadmap.content.model import Question, QuestionKind, QuizAnswer
from roadmap.content.quiz import _shuffle, check_quiz, hide_key

SINGLE: dict[str, Any] = {
    "kind": "single",
    "prompt": "One?",
    "options": ["alpha", "beta", "gamma"],
    "correct": [1],
    "explanation": "Because.",
}
MULTIPLE = {**SINGLE, "kind": "multiple", "prompt": "Many?", "correct": [0, 2]}
TRUE_FALSE = {**SINGLE, "kind": "true_false", "prompt": "True?", "options": ["True", "False"], "correct": [0]}


def quiz(*questions: dict[str, Any]) -> QuizAnswer:
    return QuizAnswer.model_validate({"questions": list(questions)})


def test_a_quiz_that_obeys_every_rule_has_no_complaints() -> None:
    assert check_quiz(quiz(SINGLE, MULTIPLE, TRUE_FALSE)) == []


@pytest.mark.parametrize(
    ("spoilt", "complaint"),
    [
        ({**SINGLE, "correct": [3]}, "question 1: `correct` must list different indexes from 0 to 2"),
        ({**SINGLE, "correct": [-1]}, "question 1: `correct` must list different indexes from 0 to 2"),
        ({**SINGLE, "correct": [1, 1]}, "question 1: `correct` must list different indexes from 0 to 2"),
        ({**SINGLE, "options": ["alpha", "beta", "ALPHA "]}, "question 1: two options are the same"),
        ({**SINGLE, "correct": [0, 1]}, "question 1: `single` has exactly one right option"),
        ({**TRUE_FALSE, "correct": [0, 1]}, "question 1: `true_false` has exactly one right option"),
        ({**SINGLE, "kind": "true_false"}, "question 1: `true_false` has exactly two options"),
        ({**MULTIPLE, "correct": [0, 1, 2]}, "question 1: at least one option must be wrong"),
        ({**SINGLE, "prompt": "Other one?"}, "a question is asked twice"),
    ],
)
def test_each_broken_rule_is_told_to_the_model(spoilt: dict[str, Any], complaint: str) -> None:
    other = {**SINGLE, "prompt": "Other one?"}

    assert check_quiz(quiz(spoilt, other, {**TRUE_FALSE, "prompt": "Third?"})) == [complaint]


def standing_out(number: int, right: str = "a much longer option") -> dict[str, Any]:
    return {**SINGLE, "prompt": f"Question {number}?", "options": ["short", right, "brief"]}


def test_the_right_option_must_not_always_be_the_longest() -> None:
    (complaint,) = check_quiz(quiz(*(standing_out(n) for n in range(3)), TRUE_FALSE))

    assert complaint.startswith("the right option is the longest one almost always")


def test_one_question_whose_right_option_does_not_stand_out_is_enough() -> None:
    assert check_quiz(quiz(standing_out(0), standing_out(1), standing_out(2, "normal"))) == []


def test_two_single_questions_are_too_few_to_tell_a_habit() -> None:
    assert check_quiz(quiz(standing_out(0), standing_out(1), MULTIPLE)) == []


@st.composite
def questions(draw: st.DrawFn) -> Question:
    options = draw(st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=2, max_size=6, unique=True))
    correct = draw(st.lists(st.integers(0, len(options) - 1), min_size=1, unique=True))
    kind = draw(st.sampled_from([QuestionKind.SINGLE, QuestionKind.MULTIPLE]))
    return Question(kind=kind, prompt="?", options=options, correct=correct, explanation="!")


@given(questions(), st.integers())
def test_the_shuffle_keeps_the_options_and_what_is_right(question: Question, seed: int) -> None:
    shown = _shuffle(question, random.Random(seed))

    assert sorted(shown["options"]) == sorted(question.options)
    assert shown["correct"] == sorted(shown["correct"])
    assert {shown["options"][index] for index in shown["correct"]} == {
        question.options[index] for index in question.correct
    }


@given(st.integers())
def test_true_stays_before_false(seed: int) -> None:
    shown = _shuffle(Question.model_validate(TRUE_FALSE), random.Random(seed))

    assert (shown["options"], shown["correct"]) == (["True", "False"], [0])


def test_the_key_is_hidden_from_the_learner_and_the_rest_is_shown() -> None:
    shown = hide_key({"questions": [SINGLE, MULTIPLE], "model": "small"})

    public = [{name: question[name] for name in ("kind", "prompt", "options")} for question in (SINGLE, MULTIPLE)]
    assert shown == {"questions": public, "model": "small"}
