"""Which concepts of a subject a text names, by the words of their titles."""

import re

from roadmap.llm.offline.pack import Concept, Subject

__all__ = ["find_known"]

_SENTENCE = re.compile(r"[.;!?。；！？\n]|,? but |，?(?:但是?|不过)")
_DENIAL = re.compile(r"\b(?:no|not|never|none|nothing|without|hardly)\b|n't|不|没|未|零基础")
_WORD = re.compile(r"[a-z0-9+#@*/_-]{2,}")
_PARTS = re.compile(r"[与和、，及的：（）()/\s]+")
_COMMON = frozenset(
    _WORD.findall("and the with for from into your how what why using first basics more than one two to of in on an")
)
# A title counts as named when at least this share of its words is in the text.
_ENOUGH = 0.6


def find_known(text: str, subject: Subject) -> frozenset[str]:
    """The ids of the concepts whose titles are named in sentences that deny nothing."""
    said = " ".join(part for part in _SENTENCE.split(text.casefold()) if not _DENIAL.search(part))
    if not said.strip():
        return frozenset()
    words = frozenset(map(_singular, _WORD.findall(said)))
    # The subject's own name says that it is known, not which of its concepts.
    subject_words = frozenset(map(_singular, _WORD.findall(subject.title.en.casefold())))
    return frozenset(
        c.id for c in subject.concepts() if _names(c, words - subject_words, said, subject.title.zh.casefold())
    )


def _names(concept: Concept, words: frozenset[str], said: str, subject_title: str) -> bool:
    telling = {_singular(word) for word in _WORD.findall(concept.title.en.casefold())} - _COMMON
    if telling and len(telling & words) >= _ENOUGH * len(telling):
        return True
    parts = [part for part in _PARTS.split(concept.title.zh.casefold()) if len(part) >= 2 and not part.isascii()]
    found = sum(part in said and part not in subject_title for part in parts)
    return bool(parts) and found >= _ENOUGH * len(parts)


def _singular(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 else word
