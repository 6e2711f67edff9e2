"""Batches on their way: kept until PostgreSQL shows them, and offered again when they do not arrive.

Redis may forget all that it was given (FLUSHALL, a restart, eviction), so its word that it took a batch is not
enough. The queue drops a second offer of a job that it still has, and a second insert changes nothing: offering
again is always safe.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from roadmap.database import Database
from roadmap.execution_log import store
from roadmap.execution_log.batch import Batch, job_id, pack, unpack
from roadmap.execution_log.buffer import Noted
from roadmap.execution_log.writing import write_batches
from roadmap.queue.client import Queue
from roadmap.queue.model import Job

__all__ = ["Kept", "Outbox", "Sent", "make_batch"]

_ASK_AT_ONCE = 500  # batches in one look at PostgreSQL
_WRITE_AT_ONCE = 10
_QUEUE = "logs"


@dataclass(slots=True)
class Sent:
    """Entries counted since the start: handed to Redis, and seen in PostgreSQL."""

    sent: int = 0
    written: int = 0


@dataclass(slots=True)
class Kept:
    """A batch that is not known to be written; `offered_at` is the monotonic time of the last offer that succeeded."""

    job: Job
    mark: store.Mark
    first_number: int
    count: int
    size: int
    offered_at: float | None = None


def make_batch(batch: Batch, entries: Sequence[Noted]) -> Kept:
    payload = pack(batch.text)
    return Kept(
        job=Job(function="write_log_batch", id=job_id(batch.id), args=(payload,)),
        mark=store.Mark(batch.id, entries[-1].id, entries[-1].at),
        first_number=entries[0].number,
        count=len(entries),
        size=len(payload),
    )


class Outbox:
    """Bounded by `batches` and `size` in bytes: when PostgreSQL lags that far, sending stops and the buffer fills."""

    def __init__(self, queue: Queue, batches: int, size: int) -> None:
        self._queue = queue
        self._batches_limit = batches
        self._size_limit = size
        self._kept: dict[str, Kept] = {}
        self._size = 0
        self.counters = Sent()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def entries(self) -> int:
        return sum(kept.count for kept in self._kept.values())

    @property
    def has_room(self) -> bool:
        return len(self._kept) < self._batches_limit and self._size < self._size_limit

    def add(self, kept: Kept) -> None:
        self._kept[kept.job.id] = kept
        self._size += kept.size

    def unsent(self) -> list[Kept]:
        """At most one group, since nothing is added while the last group could not be sent."""
        return [kept for kept in self._kept.values() if kept.offered_at is None]

    async def offer(self, batches: Sequence[Kept]) -> bool:
        """Hands the batches to Redis; False when it is away."""
        if not await self._queue.offer(_QUEUE, [kept.job for kept in batches]):
            return False
        now = time.monotonic()
        for kept in batches:
            if kept.offered_at is None:
                self.counters.sent += kept.count
            kept.offered_at = now
        return True

    async def confirm(self, db: Database, resend_after: float) -> None:
        """Forgets what is written, and offers again what was offered `resend_after` seconds ago. Raises Outage."""
        sent = [kept for kept in self._kept.values() if kept.offered_at is not None]
        for start in range(0, len(sent), _ASK_AT_ONCE):
            await self._confirm(db, sent[start : start + _ASK_AT_ONCE], resend_after)

    async def _confirm(self, db: Database, asked: Sequence[Kept], resend_after: float) -> None:
        # Read before the question: what is offered while it runs is not overdue.
        before = time.monotonic() - resend_after
        written = await store.find_written(db, [kept.mark for kept in asked])
        for kept in asked:
            if kept.mark.batch_id in written:
                self.forget(kept)
        overdue = [kept for kept in asked if kept.mark.batch_id not in written and (kept.offered_at or 0) <= before]
        if overdue:
            await self.offer(overdue)

    def forget(self, kept: Kept) -> None:
        """The batch is in PostgreSQL."""
        if self._kept.pop(kept.job.id, None) is not None:
            self._size -= kept.size
            self.counters.written += kept.count

    async def write_rest(self, db: Database, seconds: float) -> int:
        """Writes without a worker what is not confirmed; prints what cannot be written and returns how many entries."""
        deadline = asyncio.get_running_loop().time() + seconds
        rest, spilled = list(self._kept.values()), 0
        for start in range(0, len(rest), _WRITE_AT_ONCE):
            group = rest[start : start + _WRITE_AT_ONCE]
            try:
                async with asyncio.timeout_at(deadline):
                    await write_batches(db, [_batch(kept) for kept in group])
            except Exception:  # noqa: BLE001 - the recorder's border: the last way out is stderr
                spilled += _spill(group)
                continue
            for kept in group:
                self.forget(kept)
        return spilled


def _batch(kept: Kept) -> Batch:
    return Batch(kept.mark.batch_id, unpack(str(kept.job.args[0])))


def _spill(group: Sequence[Kept]) -> int:
    for kept in group:
        for entry in orjson.loads(_batch(kept).text):
            sys.stderr.write(orjson.dumps({"spilled": entry}).decode() + "\n")
    return sum(kept.count for kept in group)
