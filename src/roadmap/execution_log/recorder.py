"""Where work tells what happens in it. `note()` costs microseconds, never waits and never raises."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from roadmap.database import Database
from roadmap.errors import Outage
from roadmap.execution_log.batch import Batch
from roadmap.execution_log.buffer import Buffer, Noted
from roadmap.execution_log.model import JSON, Category, Level, encode
from roadmap.execution_log.outbox import Kept, Outbox, make_batch
from roadmap.execution_log.scope import current_scope, scope
from roadmap.ids import new_id
from roadmap.queue.client import Queue
from roadmap.redaction import Redactor

__all__ = ["Counters", "Pace", "Recorder", "open_recorder", "scope"]

log = structlog.get_logger()

_SEVERITY = {Level.DEBUG: 10, Level.INFO: 20, Level.WARNING: 30, Level.ERROR: 40}


@dataclass(frozen=True, slots=True)
class Pace:
    """When and how much the recorder sends. Times in seconds."""

    entries: int = 200  # in a batch
    batch_bytes: int = 200_000  # before compression; an offer has 0.3 s, and compressing must not hold up the loop
    group: int = 10  # batches in one offer
    interval: float = 0.25
    confirm_every: float = 2.0
    resend_after: float = 10.0
    close_wait: float = 0.3
    write_wait: float = 5.0
    back_off: float = 2.0
    kept_batches: int = 2_000
    kept_bytes: int = 20_000_000


@dataclass(frozen=True, slots=True)
class Counters:
    """Entries of runs since the start: `written` is confirmed by PostgreSQL, `spilled` went to stderr at the close."""

    noted: int
    sent: int
    written: int
    dropped: int
    spilled: int

    @property
    def entries(self) -> tuple[int, int, int]:
        """Not yet seen in PostgreSQL, dropped, and spilled."""
        return max(0, self.noted - self.written - self.dropped - self.spilled), self.dropped, self.spilled


class Recorder:
    """Gathers the notes of a process and sends them as batches. For the thread of the event loop only."""

    def __init__(self, queue: Queue, buffer: int, pace: Pace, redactor: Redactor | None = None) -> None:
        self._pace = pace
        self._redactor = redactor or Redactor()
        self._buffer = Buffer(buffer)
        self._outbox = Outbox(queue, pace.kept_batches, pace.kept_bytes)
        self._noted = self._dropped = self._spilled = self._reported = 0
        self._reported_at = 0.0
        self._failures = 0
        self._closed = False
        self._some = asyncio.Event()  # something waits to be sent
        self._urgent = asyncio.Event()  # and not for the interval to end
        self._asked = asyncio.Event()  # and not for the back-off to end either
        self._tried = asyncio.Condition()

    @property
    def counters(self) -> Counters:
        sent = self._outbox.counters
        return Counters(self._noted, sent.sent, sent.written, self._dropped, self._spilled)

    @property
    def unconfirmed(self) -> int:
        """Entries that are buffered, or sent and not known to be written."""
        return len(self._buffer) + self._outbox.entries

    def note(
        self,
        category: Category,
        message: str,
        /,
        *,
        level: Level = Level.INFO,
        duration_ms: int | None = None,
        **details: JSON,
    ) -> None:
        """Tells diagnostics, and the execution log when a scope names a run. Secrets and prompts do not belong here."""
        try:
            if current_scope().run_id is not None:
                self._keep(level, category, message, details, duration_ms)
        except Exception:  # noqa: BLE001 - the recorder's border: a note must not break the work that it tells of
            self._dropped += 1
        with suppress(Exception):  # a closed stdout and the like
            _tell(level, category, message, details, duration_ms)

    async def flush(self, timeout: float = 1.0) -> bool:
        """Sends what is buffered now. False: Redis did not take all of it; it stays buffered and is tried again."""
        target, failures = self._buffer.last_number, self._failures
        if self._has_sent(target):
            return True
        self._urgent.set()
        self._asked.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout), self._tried:
                await self._tried.wait_for(lambda: self._has_sent(target) or self._failures > failures)
        return self._has_sent(target)

    def _keep(
        self, level: Level, category: Category, message: str, details: dict[str, JSON], duration_ms: int | None
    ) -> None:
        if self._closed:
            self._dropped += 1
            return
        about, entry_id, at = current_scope(), new_id(), datetime.now(UTC)
        text = encode(
            {
                "id": entry_id,
                "at": at,
                "run_id": about.run_id,
                "concept_id": about.concept_id,
                "step": about.step,
                "level": level.value,
                "category": category.value,
                "message": message,
                "details": details,
                "duration_ms": duration_ms,
            }
        )
        self._noted += 1
        self._dropped += self._buffer.add(level, Noted(self._noted, entry_id, at, text))
        self._some.set()
        if level is Level.ERROR or len(self._buffer) >= self._pace.entries:
            self._urgent.set()

    def _has_sent(self, target: int) -> bool:
        waiting = [kept.first_number for kept in self._outbox.unsent()]
        first = min([*waiting, self._buffer.first_number() or target + 1])
        return first > target

    async def send_forever(self) -> None:
        """The flusher; `open_recorder` owns it."""
        pause = self._pace.interval
        while True:
            await self._some.wait()
            await _wait(self._urgent, self._pace.interval)
            self._urgent.clear()
            self._asked.clear()
            sent = await self._try_to_send()
            self._report_drops()
            if sent:
                pause = self._pace.interval
                continue
            await _wait(self._asked, pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            pause = min(pause * 2, self._pace.back_off)

    async def _try_to_send(self) -> bool:
        try:
            sent = await self._send(self._buffer.last_number)
        except Exception:  # the recorder's border: the one flusher must not die
            log.exception("recorder_flush_failed")
            sent = False
        self._failures += not sent
        if sent and not self._buffer:
            self._some.clear()
        async with self._tried:
            self._tried.notify_all()
        return sent

    async def _send(self, target: int) -> bool:
        # What is noted meanwhile waits for the next round, or a busy process would send batches of two or three.
        while not self._has_sent(target):
            group = self._outbox.unsent() or await self._cut()
            if not group or not await self._outbox.offer(group):
                return False
        return True

    async def _cut(self) -> list[Kept]:
        group: list[Kept] = []
        while self._buffer and self._outbox.has_room and len(group) < self._pace.group:
            group.append(self._box())
            await asyncio.sleep(0)  # others have their turn between two compressions
        return group

    def _box(self) -> Kept:
        entries = self._buffer.take(self._pace.entries, self._pace.batch_bytes)
        text = b"[" + b",".join(noted.text for noted in entries) + b"]"
        kept = make_batch(Batch(new_id(), self._redactor.json(text.decode())), entries)
        self._outbox.add(kept)
        return kept

    def _report_drops(self) -> None:
        now = time.monotonic()
        if self._dropped > self._reported and now - self._reported_at >= 1:
            log.warning("log_entries_dropped", count=self._dropped - self._reported, total=self._dropped)
            self._reported, self._reported_at = self._dropped, now

    async def confirm_forever(self, db: Database) -> None:
        """Looks after what was sent; `open_recorder` owns it."""
        while True:
            await asyncio.sleep(self._pace.confirm_every)
            if self._outbox:
                await self._confirm(db)

    async def _confirm(self, db: Database) -> None:
        try:
            await self._outbox.confirm(db, self._pace.resend_after)
        except Outage as exc:
            log.debug("log_unconfirmed", error=str(exc))
        except Exception:  # the recorder's border: without confirmation sending would stop
            log.exception("recorder_confirm_failed")

    async def finish(self, db: Database) -> None:
        """Waits a little for what Redis has, writes the rest itself, and prints what cannot be written."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.close_wait):
                while self._outbox and not self._buffer and not self._outbox.unsent():
                    await self._confirm(db)
                    await asyncio.sleep(0.05)
        while self._buffer:
            self._box()
        self._spilled += await self._outbox.write_rest(db, self._pace.write_wait)
        self._report_drops()


@asynccontextmanager
async def open_recorder(
    db: Database, queue: Queue, redactor: Redactor | None = None, *, buffer: int = 10_000, pace: Pace | None = None
) -> AsyncIterator[Recorder]:
    """The process's recorder. Closing takes up to 1 s to send, 0.3 s for the logs worker, 5 s to write the rest."""
    recorder = Recorder(queue, buffer, pace or Pace(), redactor)
    tasks = [
        asyncio.create_task(recorder.send_forever(), name="recorder-flush"),
        asyncio.create_task(recorder.confirm_forever(db), name="recorder-confirm"),
    ]
    try:
        yield recorder
    finally:
        try:
            await recorder.flush()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await recorder.finish(db)


def _tell(level: Level, category: Category, message: str, details: dict[str, JSON], duration_ms: int | None) -> None:
    fields: dict[str, object] = {"category": category.value, "text": message}
    if duration_ms is not None:
        fields["duration_ms"] = duration_ms
    if details:
        fields["details"] = details
    log.log(_SEVERITY[level], "noted", **fields)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
