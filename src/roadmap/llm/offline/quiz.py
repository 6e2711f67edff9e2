"""A quiz from a concept's facts and myths. Which option is right, and how long it is, follows from a hash."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from zlib import crc32

from roadmap.llm.offline.corrections import Correction
from roadmap.llm.offline.pack import Both
from roadmap.llm.offline.topic import Topic, choose

__all__ = ["write_quiz"]

_TRUE_FALSE = Both(("True", "False"), ("对", "错"))
_WHICH_HOLDS = Both(
    (
        "Which of these statements about “{title}” is true?",
        "Four people explain “{title}” to you. Whose statement is right?",
        "You revise your notes on “{title}”. Which line may stay as it is?",
    ),
    (
        "关于“{title}”，下列哪一项说法正确？",
        "四个人向你解释“{title}”，谁说得对？",
        "你在整理“{title}”的笔记，哪一句可以原样保留？",
    ),
)
_WHICH_FAILS = Both(
    (
        "Three of these statements about “{title}” are true. Which one is false?",
        "A summary of “{title}” has one mistake in it. Which sentence must be corrected?",
    ),
    ("下列关于“{title}”的说法中有三项正确，哪一项是错误的？", "一份“{title}”的小结里有一处错误，哪一句需要改正？"),
)
_WHICH_TWO = Both(
    (
        "Which of these statements about “{title}” are true? Choose all that are.",
        "Mark every statement about “{title}” that you could rely on in practice.",
    ),
    ("关于“{title}”，下列哪些说法正确？（多选）", "选出所有在实践中可以放心依据的、关于“{title}”的说法。（多选）"),
)
_TRUE_OR_FALSE = Both("True or false? {claim}", "判断对错：{claim}")

_RIGHT = Both("Right is: {fact} The others are common mistakes.", "正确的是：{fact}其余都是常见的误解。")
_THIS_IS_FALSE = Both("This one is false: {myth} {right}", "错误的是：{myth}{right}")
_BOTH_RIGHT = Both("Right are: {first} And: {second}", "正确的有：{first}以及：{second}")
_IT_IS_TRUE = Both("True. {fact}", "对。{fact}")
_IT_IS_FALSE = Both("False. {right}", "错。{right}")
_IN_TRUTH = Both("What holds is this: {fact}", "正确的说法是：{fact}")
_BY_CONTRAST = Both(
    "It is a common mistake. True, by contrast, is this: {fact}", "这是常见的误解。可以确定的是：{fact}"
)


# The right option is the longest of four as often as chance would have it.
_LONGEST_IS_RIGHT = 0.25


@dataclass(frozen=True, slots=True)
class _Pool:
    """A concept's statements in the learner's language. `order` is seeded by the concept: the same quiz every time."""

    topic: Topic
    facts: tuple[str, ...]
    myths: tuple[str, ...]
    corrections: dict[str, Correction]
    order: random.Random

    @classmethod
    def fill(cls, topic: Topic) -> "_Pool":
        concept, language = topic.concept, topic.language
        facts, myths = concept.facts.of(language), concept.myths.of(language)
        # Not by `language`: both languages have the same quiz, so that their keys can be compared.
        order = random.Random(crc32(concept.key.encode()))  # noqa: S311
        return cls(topic, facts, myths, dict(zip(myths, concept.corrections, strict=True)), order)

    def put_right(self, myth: str) -> str:
        """The fact that stands against a myth, in words that promise no more than is certain."""
        correction = self.corrections[myth]
        return _say(self, _IN_TRUTH if correction.certain else _BY_CONTRAST, fact=self.facts[correction.fact])


def write_quiz(topic: Topic) -> dict[str, Any]:
    """The fields of `QuizAnswer`: five questions, from easy to demanding. No fact is the key of two of them."""
    pool = _Pool.fill(topic)
    opening = _pick(pool.order, pool.facts, pool.myths)
    doubted, *others = pool.order.sample([fact for fact in pool.facts if fact != opening.right], 4)
    # A false claim whose correction is certain makes the better explanation.
    false_claim = max(pool.order.sample(pool.myths, len(pool.myths)), key=lambda myth: pool.corrections[myth].certain)
    denies = pool.order.random() < 0.5
    questions = [
        _ask_which_holds(pool, "first", opening),
        _ask_false(pool, false_claim) if denies else _ask_true(pool, doubted),
        _ask_which_fails(pool),
        _ask_another(pool, others[2], None if denies else false_claim),
        _ask_which_two(pool, others[0], others[1]),
    ]
    return {"questions": questions}


@dataclass(frozen=True, slots=True)
class _Choice:
    right: str
    wrong: tuple[str, ...]


def _pick(order: random.Random, right: Sequence[str], wrong: Sequence[str]) -> _Choice:
    """One right and three wrong options, chosen so that length tells nothing over many questions."""
    longest = order.random() < _LONGEST_IS_RIGHT
    choices = [_Choice(one, three) for one in right for three in combinations(wrong, 3)]
    order.shuffle(choices)
    fitting = (c for c in choices if (len(c.right) > max(map(len, c.wrong))) is longest)
    return next(fitting, choices[0])


def _ask_another(pool: _Pool, fact: str, myth: str | None) -> dict[str, Any]:
    """A second question of one of the first kinds."""
    if myth is not None and pool.order.random() < 0.5:
        return _ask_false(pool, myth)
    return _ask_which_holds(pool, "another", _pick(pool.order, [fact], pool.myths))


def _ask_which_holds(pool: _Pool, slot: str, choice: _Choice) -> dict[str, Any]:
    # Two questions of this kind must not open with the same words: the second takes the following form.
    forms = _WHICH_HOLDS.of(pool.topic.language)
    place = crc32(pool.topic.concept.key.encode()) + (slot != "first")
    return _ask(pool, "single", forms[place % len(forms)], (choice.right,), choice.wrong) | {
        "explanation": _say(pool, _RIGHT, fact=choice.right)
    }


def _ask_which_fails(pool: _Pool) -> dict[str, Any]:
    choice = _pick(pool.order, pool.myths, pool.facts)
    explanation = _say(pool, _THIS_IS_FALSE, myth=choice.right, right=pool.put_right(choice.right))
    prompt = choose(pool.topic, "fails", _WHICH_FAILS.of(pool.topic.language))
    return _ask(pool, "single", prompt, (choice.right,), choice.wrong) | {"explanation": explanation}


def _ask_which_two(pool: _Pool, first: str, second: str) -> dict[str, Any]:
    wrong = tuple(pool.order.sample(pool.myths, 2))
    prompt = choose(pool.topic, "two", _WHICH_TWO.of(pool.topic.language))
    explanation = _say(pool, _BOTH_RIGHT, first=first, second=second)
    return _ask(pool, "multiple", prompt, (first, second), wrong) | {"explanation": explanation}


def _ask_true(pool: _Pool, fact: str) -> dict[str, Any]:
    return _ask_claim(pool, fact, 0, _say(pool, _IT_IS_TRUE, fact=fact))


def _ask_false(pool: _Pool, myth: str) -> dict[str, Any]:
    return _ask_claim(pool, myth, 1, _say(pool, _IT_IS_FALSE, right=pool.put_right(myth)))


def _ask_claim(pool: _Pool, claim: str, correct: int, explanation: str) -> dict[str, Any]:
    return {
        "kind": "true_false",
        "prompt": _say(pool, _TRUE_OR_FALSE, claim=claim),
        "options": list(_TRUE_FALSE.of(pool.topic.language)),
        "correct": [correct],
        "explanation": explanation,
    }


def _ask(pool: _Pool, kind: str, prompt: str, right: tuple[str, ...], wrong: tuple[str, ...]) -> dict[str, Any]:
    """A question but for its explanation."""
    options = pool.order.sample([*right, *wrong], len(right) + len(wrong))
    return {
        "kind": kind,
        "prompt": prompt.format(title=pool.topic.concept.title.of(pool.topic.language)),
        "options": options,
        "correct": [index for index, option in enumerate(options) if option in right],
    }


def _say(pool: _Pool, form: Both[str], **parts: str) -> str:
    return form.of(pool.topic.language).format(**parts)
