"""What became of an action, told on the next page: its address has a code and counts, never words."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from roadmap.web.pages.formats import plural

__all__ = ["SAID", "Notice", "Told", "read_notices", "with_notice"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Above the page."""

    tone: str
    icon: str
    text: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of it, as an address says it: a code of `SAID`, how much was done and left as it is, and whether the
    time was up before all was reached."""

    said: str
    done: int = 1
    left: int = 0
    more: bool = False


SAID = {
    "retried": "{jobs} taken up again.",
    "discarded": "{jobs} discarded.",
    "canceled": "The run is canceled.",
    "completing": "What is missing is being made.",
    "paused": "The queue is paused: jobs that run go on, new ones wait.",
    "resumed": "The queue goes on.",
}
UNDONE = {
    "retried": "Nothing was left to retry.",
    "discarded": "Nothing was left to discard.",
    "canceled": "The run had ended already.",
    "completing": "Nothing can be made just now: nothing is missing, or a run is at work.",
    "paused": "It was paused already.",
    "resumed": "It was not paused.",
}
LEFT = "{jobs} left as they are: others were quicker, or a run is at work on them."
MORE = "The time was up before all were reached: press again for the rest."
NOT_YET = "None was dealt with so far."
MOST_DIGITS = 9


def with_notice(path: str, told: Told) -> str:
    """The address of a page that tells it."""
    query = {"said": told.said, "done": told.done, "left": told.left} | ({"more": 1} if told.more else {})
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}"


def read_notices(query: Mapping[str, str]) -> tuple[Notice, ...]:
    said = query.get("said", "")
    if said not in SAID:
        return ()
    return (_notice(Told(said, _count(query.get("done", "")), _count(query.get("left", "")), "more" in query)),)


def _notice(told: Told) -> Notice:
    left = LEFT.format(jobs=plural(told.left, "dead job")) if told.left else ""
    rest = " ".join(filter(None, (left, MORE if told.more else "")))
    if not told.done:
        return Notice("warn", "alert", NOT_YET if told.more else UNDONE[told.said], rest)
    return Notice("warn" if rest else "good", "check", SAID[told.said].format(jobs=plural(told.done, "dead job")), rest)


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else 0
