"""Entries that wait to be sent: bounded, and the least important goes first when it is full."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from roadmap.execution_log.model import Level

__all__ = ["Buffer", "Noted"]

BYTES_LIMIT = 20_000_000


@dataclass(frozen=True, slots=True)
class Noted:
    """An entry as text; `number` counts the process's notes."""

    number: int
    id: UUID
    at: datetime
    text: bytes


class Buffer:
    """Holds up to `limit` entries and 20 MB. One deque for each level, so that neither adding nor dropping searches."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._levels: dict[Level, deque[Noted]] = {level: deque() for level in Level}
        self._count = 0
        self._bytes = 0
        self.last_number = 0

    def __len__(self) -> int:
        return self._count

    def add(self, level: Level, noted: Noted) -> int:
        """Returns how many entries were dropped for it: debug before info before the rest, the oldest first."""
        self._levels[level].append(noted)
        self.last_number = noted.number
        self._count += 1
        self._bytes += len(noted.text)
        dropped = 0
        while self._count > self._limit or self._bytes > BYTES_LIMIT:
            self._remove(next(entries for entries in self._levels.values() if entries))
            dropped += 1
        return dropped

    def take(self, limit: int, size: int) -> list[Noted]:
        """The oldest entries of all levels, in order: up to `limit`, and no more once they have `size` bytes."""
        taken: list[Noted] = []
        taken_size = 0
        while self._count and len(taken) < limit and taken_size < size:
            taken.append(self._remove(self._oldest()))
            taken_size += len(taken[-1].text)
        return taken

    def first_number(self) -> int | None:
        return self._oldest()[0].number if self._count else None

    def _oldest(self) -> deque[Noted]:
        return min((entries for entries in self._levels.values() if entries), key=lambda entries: entries[0].number)

    def _remove(self, entries: deque[Noted]) -> Noted:
        noted = entries.popleft()
        self._count -= 1
        self._bytes -= len(noted.text)
        return noted
