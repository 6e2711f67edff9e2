"""Which subject of the pack a goal is about."""

from roadmap.llm.offline.pack import GENERIC, Entry, load_index

__all__ = ["find_subject"]

# "Statistics for machine learning": what stands behind such words says what the subject is for.
_PURPOSES = (" for ", " so that ", " in order to ", " because ", "，以便", "，为了", "，用于")
_PURPOSE_WEIGHT = 0.4


def find_subject(goal: str) -> str | None:
    """The id of the subject whose keywords cover most of the goal; None when no keyword is in it."""
    text = " ".join(goal.casefold().split())
    purpose = min((place for place in (text.find(word) for word in _PURPOSES) if place > 0), default=len(text))
    scores = {entry.id: _score(text, purpose, entry) for entry in load_index().values() if entry.id != GENERIC}
    best = max(scores, key=scores.__getitem__, default=None)
    return best if best is not None and scores[best] > 0 else None


def _score(text: str, purpose: int, entry: Entry) -> float:
    """The characters that are covered; those behind `purpose` count for less."""
    covered: set[int] = set()
    for keyword in {
        word.casefold() for word in (*entry.keywords.en, *entry.keywords.zh, entry.title.en, entry.title.zh)
    }:
        covered.update(_cover(text, keyword))
    return sum(1.0 if place < purpose else _PURPOSE_WEIGHT for place in covered)


def _cover(text: str, keyword: str) -> range:
    """Where the keyword stands as a word of its own; a plural s is allowed. Chinese has no word boundaries."""
    for form in (keyword, keyword.replace(" ", "") if not keyword.isascii() else keyword.removesuffix("s")):
        start = text.find(form)
        while start >= 0:
            end = start + len(form)
            if _starts_word(text, start) and _ends_word(text, end):
                return range(start, end)
            start = text.find(form, start + 1)
    return range(0)


def _starts_word(text: str, start: int) -> bool:
    return start == 0 or not _joins(text[start - 1], text[start])


def _ends_word(text: str, end: int) -> bool:
    if text[end : end + 1] == "s":
        end += 1
    return end >= len(text) or not _joins(text[end - 1], text[end])


def _joins(left: str, right: str) -> bool:
    """Whether two neighbours belong to one word: both Latin letters or digits."""
    return all(c.isalnum() and ord(c) < 0x250 for c in (left, right))
