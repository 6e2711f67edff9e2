"""Counters of the offline provider, for tests that ask what a run has cost."""

from collections import Counter
from typing import Any

from roadmap.llm.offline.faults import Mode
from roadmap.llm.offline.protocol import Question

__all__ = ["Calls"]

# A provider that serves a product for months must not remember every prompt.
_MOST_PROMPTS = 50_000


class Calls:
    """`total` counts requests, `tasks` and `most_for_one_prompt` only those that were answered in full."""

    def __init__(self) -> None:
        self._total = 0
        self._tasks: Counter[str] = Counter()
        self._prompts: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()

    def start(self) -> int:
        """The call's number, from 1."""
        self._total += 1
        return self._total

    def finish(self, question: Question) -> None:
        self._tasks[question.task] += 1
        if question.prompt in self._prompts or len(self._prompts) < _MOST_PROMPTS:
            self._prompts[question.prompt] += 1

    def fail(self, fault: Mode) -> None:
        self._faults[fault.value] += 1

    def dump(self) -> dict[str, Any]:
        return {
            "total": self._total,
            "tasks": dict(self._tasks),
            "faults": dict(self._faults),
            "prompts": len(self._prompts),
            "most_for_one_prompt": max(self._prompts.values(), default=0),
        }
