"""From `note()` to PostgreSQL, with real servers that go away at bad moments."""

import asyncio
import time
from pathlib import Path
from uuid import UUID

import pytest
from log_reading import LogsWorker, eventually, messages, stored
from redis.asyncio import Redis

from roadmap.database import Database
from roadmap.embedded.redis import RedisServer
from roadmap.execution_log.model import Category, Level
from roadmap.execution_log.recorder import Pace, Recorder, open_recorder, scope
from roadmap.ids import new_id
from roadmap.queue.client import Queue, open_queue


def note(recorder: Recorder, run_id: UUID, *texts: str) -> None:
    with scope(run_id=run_id):
        for text in texts:
            recorder.note(Category.RUN, text)


async def test_entries_carry_their_scope_and_arrive_in_order(
    database: Database, queue: Queue, redis_url: str, logs_worker: LogsWorker, run_id: UUID, pace: Pace
) -> None:
    concept_id = new_id()
    async with logs_worker(redis_url), open_recorder(database, queue, pace=pace) as recorder:
        with scope(run_id=run_id), scope(concept_id=concept_id, step="tutorial"):
            recorder.note(Category.MODEL, "asked", duration_ms=12, tokens=700, message="a detail of that name")
            recorder.note(Category.CONTENT, "failed", level=Level.ERROR)
        assert await recorder.flush()

        async def written() -> bool:
            return recorder.counters.written == 2

        await eventually(written)
    first, second = await stored(database, run_id)
    assert (first.concept_id, first.step, first.level, first.category) == (concept_id, "tutorial", "info", "model")
    assert first.details == {"tokens": 700, "message": "a detail of that name"}
    assert (first.duration_ms, second.level, second.message) == (12, Level.ERROR, "failed")


async def test_a_note_outside_a_run_goes_to_diagnostics_only(
    database: Database, queue: Queue, pace: Pace, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_recorder(database, queue, pace=pace) as recorder:
        recorder.note(Category.QUEUE, "nobody's")
        assert recorder.counters.noted == 0
    assert "nobody's" in capsys.readouterr().out


async def test_37_buffered_entries_all_arrive_at_close_without_a_worker(
    database: Database, queue: Queue, run_id: UUID, pace: Pace
) -> None:
    texts = [f"entry {n}" for n in range(37)]
    async with open_recorder(database, queue, pace=pace) as recorder:
        note(recorder, run_id, *texts)
    assert await messages(database, run_id) == texts
    assert recorder.counters.written == 37


@pytest.mark.fault("F7")
async def test_a_worker_that_comes_after_the_close_doubles_nothing(
    database: Database, queue: Queue, redis_url: str, logs_worker: LogsWorker, run_id: UUID, pace: Pace
) -> None:
    async with open_recorder(database, queue, pace=pace) as recorder:
        note(recorder, run_id, "one", "two")
    async with logs_worker(redis_url):

        async def empty() -> bool:
            return await queue.depth("logs") == 0

        await eventually(empty)
    assert await messages(database, run_id) == ["one", "two"]


@pytest.mark.fault("F10")
async def test_while_redis_is_away_notes_never_block_and_arrive_when_it_is_back(
    database: Database, servers_folder: Path, logs_worker: LogsWorker, run_id: UUID, pace: Pace
) -> None:
    server = RedisServer(servers_folder / f"away-{run_id.hex}", durable=False)
    await server.start()
    url = server.url
    await server.stop()
    async with open_queue(url) as queue, open_recorder(database, queue, pace=pace) as recorder:
        began = time.perf_counter()
        note(recorder, run_id, *(f"entry {n:03}" for n in range(500)))
        assert time.perf_counter() - began < 0.5
        assert not await recorder.flush(0.5)
        await server.start()
        try:
            async with logs_worker(url):

                async def written() -> bool:
                    return recorder.counters.written == 500

                await eventually(written)
        finally:
            await server.stop()
    assert await messages(database, run_id) == [f"entry {n:03}" for n in range(500)]
    assert recorder.counters.dropped == 0


@pytest.mark.fault("F9")
async def test_flushall_between_sending_and_writing_loses_and_doubles_nothing(
    database: Database, queue: Queue, redis_url: str, logs_worker: LogsWorker, run_id: UUID, pace: Pace
) -> None:
    async with open_recorder(database, queue, pace=pace) as recorder, Redis.from_url(redis_url) as redis:
        note(recorder, run_id, "one", "two", "three")
        assert await recorder.flush()
        assert await queue.depth("logs") == 1
        await redis.flushdb()
        async with logs_worker(redis_url):

            async def written() -> bool:
                return recorder.counters.written == 3

            await eventually(written)
    assert await messages(database, run_id) == ["one", "two", "three"]


@pytest.mark.fault("F30")
async def test_a_full_buffer_drops_debug_then_info_and_counts(
    database: Database, queue: Queue, run_id: UUID, pace: Pace, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_recorder(database, queue, buffer=4, pace=pace) as recorder:
        with scope(run_id=run_id):
            for level in (Level.WARNING, Level.INFO, Level.DEBUG, Level.ERROR, Level.DEBUG, Level.ERROR, Level.WARNING):
                recorder.note(Category.STEP, level.value, level=level)
        assert recorder.counters.dropped == 3
    assert await messages(database, run_id) == ["warning", "error", "error", "warning"]
    assert "log_entries_dropped" in capsys.readouterr().out


@pytest.mark.fault("F30")
async def test_an_outbox_that_is_full_stops_sending_until_something_is_written(
    database: Database, queue: Queue, redis_url: str, logs_worker: LogsWorker, run_id: UUID
) -> None:
    tight = Pace(entries=1, interval=0.01, confirm_every=0.05, close_wait=0.3, back_off=0.05, kept_batches=2)
    async with open_recorder(database, queue, pace=tight) as recorder:
        note(recorder, run_id, "1", "2", "3", "4", "5")
        assert not await recorder.flush(0.5)
        assert recorder.counters.sent == 2
        async with logs_worker(redis_url):

            async def written() -> bool:
                return recorder.counters.written == 5

            await eventually(written)
    assert await messages(database, run_id) == ["1", "2", "3", "4", "5"]


async def test_what_cannot_be_written_at_close_is_printed(
    database: Database, queue: Queue, run_id: UUID, pace: Pace, capsys: pytest.CaptureFixture[str]
) -> None:
    await database.execute("ALTER TABLE execution_log RENAME TO gone")
    async with open_recorder(database, queue, pace=pace) as recorder:
        note(recorder, run_id, "last words")
    assert recorder.counters.spilled == 1
    assert '"message":"last words"' in capsys.readouterr().err


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


async def test_a_note_takes_anything_and_never_raises(
    database: Database, queue: Queue, run_id: UUID, pace: Pace
) -> None:
    nested: list[object] = []
    nested.append(nested)
    async with open_recorder(database, queue, pace=pace) as recorder:
        with scope(run_id=run_id):
            recorder.note(Category.RUN, "null \x00 and \ud800", surrogate="\udfff", big=10**30, key={1: "one"})  # type: ignore[dict-item]
            recorder.note(Category.RUN, "nested", nested=nested, hostile=Hostile())  # type: ignore[arg-type]
            recorder.note(Category.RUN, "long " * 5_000, blob="x" * 100_000)
    first, second, third = await stored(database, run_id)
    assert first.message == "null \ufffd and ?"
    assert first.details == {"surrogate": "?", "big": str(10**30), "key": {"1": "one"}}
    assert second.details["hostile"] == "<Hostile>"
    assert len(third.message) == 8_000
    assert list(third.details) == ["cut"]


async def test_errors_are_sent_at_once(database: Database, queue: Queue, run_id: UUID) -> None:
    patient = Pace(interval=60, close_wait=0.1)
    async with open_recorder(database, queue, pace=patient) as recorder:
        note(recorder, run_id, "before")
        with scope(run_id=run_id):
            recorder.note(Category.RUN, "broken", level=Level.ERROR)

        async def sent() -> bool:
            return recorder.counters.sent == 2

        await eventually(sent)


async def test_many_notes_travel_in_few_batches(database: Database, queue: Queue, run_id: UUID) -> None:
    async with open_recorder(database, queue, pace=Pace(close_wait=0.1)) as recorder:
        note(recorder, run_id, *(str(n) for n in range(1_000)))
        await asyncio.sleep(0)
        assert await recorder.flush()
        assert await queue.depth("logs") == 5


async def test_large_entries_travel_in_batches_of_bounded_size(database: Database, queue: Queue, run_id: UUID) -> None:
    async with open_recorder(database, queue, pace=Pace(close_wait=0.1)) as recorder:
        with scope(run_id=run_id):
            for _ in range(40):
                recorder.note(Category.RUN, "large", blob="x" * 20_000)
        assert await recorder.flush()
        assert await queue.depth("logs") == 4
    assert len(await stored(database, run_id)) == 40
