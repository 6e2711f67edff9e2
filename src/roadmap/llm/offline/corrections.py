"""Which fact puts a myth right: the one that shares the most telling words with it."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Correction", "closest", "find_corrections"]

_WORD = re.compile(r"[a-z0-9_%$+#.'-]{2,}")
_ENDINGS = ("ing", "ed", "es", "s")
_COMMON = frozenset(
    _WORD.findall(
        "a an the and or not no nor but if then than that this these those it its is are was were be been as at by for"
        " from in into of off on onto out over to up with without so such can could may might must should will would do"
        " does did has have had only also even just any all each every one two same other more most less least when"
        " while which who what how why because before after always never you your they their there always simply both"
    )
)
# A word counts the less, the more of the sentences use it. Read on the pack: from these values on, four of five matches
# truly correct the myth.
_SURE_WEIGHT = 2.5
_SURE_LEAD = 1.0
# Below this share of a sentence's words, a match is chance.
_ENOUGH = 0.2


@dataclass(frozen=True, slots=True)
class Correction:
    """The index of the fact that is closest to a myth. Unless `certain`, it may be about something else."""

    fact: int
    certain: bool


def find_corrections(myths: Sequence[str], facts: Sequence[str]) -> tuple[Correction, ...]:
    """One for each myth. English only: there words can be told apart by spaces."""
    told = tuple(map(_words, facts))
    return tuple(_correct(_words(myth), told) for myth in myths)


def closest(sentence: str, others: Sequence[str]) -> int | None:
    """The index of the sentence that shares the most telling words with this one, or None."""
    words = _words(sentence)
    weights = _weights(words, tuple(map(_words, others)))
    best = max(weights)
    clear = weights.count(best) == 1
    return weights.index(best) if clear and best >= _ENOUGH * len(words) else None


def _correct(words: frozenset[str], told: Sequence[frozenset[str]]) -> Correction:
    weights = _weights(words, told)
    second, best = sorted(weights)[-2:]
    return Correction(weights.index(best), best >= _SURE_WEIGHT and best - second >= _SURE_LEAD)


def _weights(words: frozenset[str], told: Sequence[frozenset[str]]) -> list[float]:
    rarity = Counter(word for others in told for word in others)
    return [sum(1 / rarity[word] for word in words & others) for others in told]


def _words(text: str) -> frozenset[str]:
    found = (word.strip(".'-") for word in _WORD.findall(text.casefold()))
    return frozenset(_stem(word) for word in found if word and word not in _COMMON)


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
