"""What became of an action, told on the next page: its address has a code and counts, never words."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from roadmap.web.pages.formats import plural

__all__ = ["SAID", "Notice", "read_notices", "with_notice"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Above the page."""

    tone: str
    icon: str
    text: str
    more: str = ""


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
MOST_DIGITS = 9


def with_notice(path: str, said: str, done: int = 1, left: int = 0) -> str:
    """The address of a page that tells it."""
    return f"{path}{'&' if '?' in path else '?'}{urlencode({'said': said, 'done': done, 'left': left})}"


def read_notices(query: Mapping[str, str]) -> tuple[Notice, ...]:
    said = query.get("said", "")
    if said not in SAID:
        return ()
    done, left = _count(query.get("done", "")), _count(query.get("left", ""))
    more = (
        f"{plural(left, 'dead job')} left as they are: others were quicker, or a run is at work on them."
        if left
        else ""
    )
    if not done:
        return (Notice("warn", "alert", UNDONE[said], more),)
    return (Notice("warn" if left else "good", "check", SAID[said].format(jobs=plural(done, "dead job")), more),)


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else 0
