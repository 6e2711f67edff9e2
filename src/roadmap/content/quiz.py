"""The quiz of a concept: asked of the model, checked by rules, its options shuffled by code."""

import random
from collections.abc import Sequence
from typing import Any

from roadmap.content.model import Assignment, Question, QuestionKind, QuizAnswer
from roadmap.llm.ask import Llm
from roadmap.llm.prompts import load_prompt

__all__ = ["check_quiz", "hide_key", "write_quiz"]

MOST_TUTORIAL_CHARACTERS = 20_000


async def write_quiz(llm: Llm, assignment: Assignment, tutorial: str) -> dict[str, Any]:
    """The quiz's body, with its key. `tutorial` is Markdown, or empty when there is none.

    Raises Unusable when no round of repair gave a quiz that obeys the rules.
    """
    variables = {**assignment.variables(), "tutorial": tutorial[:MOST_TUTORIAL_CHARACTERS]}
    answer = await llm.ask(load_prompt(__package__, "quiz", variables, max_tokens=4_000), QuizAnswer, check_quiz)
    # The same concept is always shuffled in the same way, so that a job run twice gives the same quiz.
    order = random.Random(assignment.concept.id)  # noqa: S311
    return {"questions": [_shuffle(question, order) for question in answer.questions]}


def hide_key(body: dict[str, Any]) -> dict[str, Any]:
    """The quiz as a learner may see it before answering."""
    public = ("kind", "prompt", "options")
    return {**body, "questions": [{name: question[name] for name in public} for question in body["questions"]]}


def check_quiz(answer: QuizAnswer) -> Sequence[str]:
    """What is wrong with the quiz, for the model to mend."""
    wrong = [fault for number, question in enumerate(answer.questions, 1) for fault in _check(number, question)]
    if len({question.prompt for question in answer.questions}) < len(answer.questions):
        wrong.append("a question is asked twice")
    if _longest_is_right_too_often(answer.questions):
        wrong.append("the right option is the longest one almost always: make the options alike in length")
    return wrong


def _check(number: int, question: Question) -> list[str]:
    options, correct = question.options, set(question.correct)
    wrong = []
    if len(correct) < len(question.correct) or not correct <= set(range(len(options))):
        wrong.append(f"question {number}: `correct` must list different indexes from 0 to {len(options) - 1}")
    if len({option.casefold() for option in options}) < len(options):
        wrong.append(f"question {number}: two options are the same")
    if question.kind is not QuestionKind.MULTIPLE and len(correct) != 1:
        wrong.append(f"question {number}: `{question.kind}` has exactly one right option")
    if question.kind is QuestionKind.TRUE_FALSE and len(options) != 2:
        wrong.append(f"question {number}: `true_false` has exactly two options")
    if question.kind is QuestionKind.MULTIPLE and len(correct) == len(options):
        wrong.append(f"question {number}: at least one option must be wrong")
    return wrong


def _longest_is_right_too_often(questions: Sequence[Question]) -> bool:
    single = [question for question in questions if question.kind is QuestionKind.SINGLE]
    telling = [question for question in single if _stands_out(question)]
    return len(single) >= 3 and len(telling) == len(single)


def _stands_out(question: Question) -> bool:
    """Whether the right option is half as long again as any other."""
    right = question.correct[0]
    if not 0 <= right < len(question.options):
        return False
    others = [len(option) for index, option in enumerate(question.options) if index != right]
    return len(question.options[right]) > 1.5 * max(others)


def _shuffle(question: Question, order: random.Random) -> dict[str, Any]:
    places = list(range(len(question.options)))
    if question.kind is not QuestionKind.TRUE_FALSE:
        order.shuffle(places)
    return {
        "kind": question.kind.value,
        "prompt": question.prompt,
        "options": [question.options[place] for place in places],
        "correct": sorted(places.index(index) for index in question.correct),
        "explanation": question.explanation,
    }
