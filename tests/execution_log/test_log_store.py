"""Reading pages, confirming batches, and the days of the partitions."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest

from roadmap.database import Database
from roadmap.execution_log import store
from roadmap.execution_log.model import Category, Entry, Level
from roadmap.ids import new_id

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def entry(run_id: UUID, message: str, **changes: object) -> Entry:
    fields = {
        "id": new_id(),
        "at": NOON,
        "run_id": run_id,
        "concept_id": None,
        "step": None,
        "level": Level.INFO,
        "category": Category.RUN,
        "message": message,
        "details": {},
        "duration_ms": None,
    }
    return Entry(**{**fields, **changes})  # type: ignore[arg-type]


async def write(db: Database, *entries: Entry) -> int:
    return await store.insert(db, orjson.dumps(entries).decode())


async def places(db: Database, run_id: UUID) -> dict[str, str]:
    rows = await db.fetch(
        "SELECT message, tableoid::regclass::text AS place FROM execution_log WHERE run_id = $1", run_id
    )
    return {row["message"]: row["place"] for row in rows}


async def test_pages_follow_time_and_id_without_gaps(database: Database, run_id: UUID) -> None:
    entries = [entry(run_id, str(n), at=NOON + timedelta(seconds=n // 3)) for n in range(10)]
    assert await write(database, *entries, entry(new_id(), "somebody else's")) == 11
    period = store.Period(NOON, NOON + DAY)
    seen: list[Entry] = []
    for _ in range(4):
        after = (seen[-1].at, seen[-1].id) if seen else None
        seen += await store.page(database, [run_id], period, after=after, limit=3)
    assert seen == sorted(entries, key=lambda entry: (entry.at, entry.id))
    assert await store.page(database, [run_id], store.Period(NOON + DAY, NOON + 2 * DAY)) == []


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (store.Filters(level=Level.WARNING), {"100% done", "a_b\\c"}),
        (store.Filters(category=Category.MODEL), {"Plain"}),
        (store.Filters(step="outline"), {"a_b\\c"}),
        (store.Filters(concept_id=UUID(int=7)), {"100% done"}),
        (store.Filters(text="PLAIN"), {"Plain"}),
        (store.Filters(text="0%"), {"100% done"}),
        (store.Filters(text="%"), {"100% done"}),
        (store.Filters(text="a_b\\"), {"a_b\\c"}),
        (store.Filters(text="_"), {"a_b\\c"}),
    ],
)
async def test_filters_mean_what_they_say(
    database: Database, run_id: UUID, filters: store.Filters, found: set[str]
) -> None:
    await write(
        database,
        entry(run_id, "Plain", category=Category.MODEL),
        entry(run_id, "100% done", level=Level.WARNING, concept_id=UUID(int=7)),
        entry(run_id, "a_b\\c", level=Level.ERROR, step="outline"),
    )
    rows = await store.page(database, [run_id], store.Period(NOON, NOON), filters)
    assert {row.message for row in rows} == found


async def test_a_batch_is_confirmed_by_its_last_entry_or_its_dead_letter(database: Database, run_id: UUID) -> None:
    written, buried, lost = (entry(run_id, name) for name in ("written", "buried", "lost"))
    await write(database, written)
    await store.add_dead_letter(database, store.DeadLetter(buried.id, new_id(), b"x", "bad"))
    unreadable = new_id()
    await store.add_dead_letter(database, store.DeadLetter(unreadable, unreadable, b"x", "bad"))
    marks = [store.Mark(new_id(), last.id, last.at) for last in (written, buried, lost)]
    marks.append(store.Mark(unreadable, new_id(), NOON))
    found = await store.find_written(database, marks)
    assert found == {marks[0].batch_id, marks[1].batch_id, unreadable}


async def test_rows_land_in_their_day_and_old_days_go(database: Database, run_id: UUID) -> None:
    now = datetime.now(UTC)
    await write(database, entry(run_id, "early", at=now), entry(run_id, "stray", at=now - 40 * DAY))
    assert set((await places(database, run_id)).values()) == {"execution_log_default"}
    await store.keep_partitions(database, days=60)
    await write(database, entry(run_id, "today", at=now), entry(run_id, "next week", at=now + 7 * DAY))
    assert await places(database, run_id) == {
        "early": f"execution_log_{now:%Y%m%d}",
        "today": f"execution_log_{now:%Y%m%d}",
        "next week": f"execution_log_{now + 7 * DAY:%Y%m%d}",
        "stray": "execution_log_default",
    }
    old = (now - 31 * DAY).date()
    assert await database.fetchval(store.ADD_DAY, old)
    await write(database, entry(run_id, "old", at=now - 31 * DAY))
    assert await store.keep_partitions(database, days=30) == [f"execution_log_{old:%Y%m%d}"]
    assert set(await places(database, run_id)) == {"early", "today", "next week"}


async def test_partitions_are_made_while_others_write_and_keep_their_indexes(database: Database, run_id: UUID) -> None:
    now = datetime.now(UTC)

    async def write_many() -> None:
        for n in range(60):
            await write(database, entry(run_id, str(n), at=now))

    await asyncio.gather(write_many(), *(store.keep_partitions(database, days=30) for _ in range(3)))
    assert len(await places(database, run_id)) == 60
    indexes = await database.fetch(
        "SELECT indexname FROM pg_indexes WHERE tablename = $1", f"execution_log_{now:%Y%m%d}"
    )
    assert len(indexes) == 2


async def test_a_reader_that_stays_long_postpones_partitions_and_blocks_nobody(
    database: Database, run_id: UUID
) -> None:
    now = datetime.now(UTC)
    async with database.transaction() as reader:
        await reader.execute("LOCK TABLE execution_log_default IN ACCESS SHARE MODE")
        await store.keep_partitions(database, days=30)
    await write(database, entry(run_id, "still", at=now))
    await store.keep_partitions(database, days=30)
    assert await places(database, run_id) == {"still": f"execution_log_{now:%Y%m%d}"}
