"""The logs worker's side: once, together, and no bad entry takes another one with it."""

import asyncio
import json
from uuid import UUID

import pytest
from log_reading import messages, stored

from roadmap.database import Database, Row
from roadmap.errors import Outage
from roadmap.execution_log.batch import job_id, pack
from roadmap.execution_log.jobs import Committer, open_committer, write_log_batch
from roadmap.execution_log.model import Category
from roadmap.ids import new_id


def record(run_id: UUID, message: str, /, **changes: object) -> dict[str, object]:
    entry = {
        "id": str(new_id()),
        "at": "2026-11-21T12:00:00.000001+00:00",
        "run_id": str(run_id),
        "concept_id": None,
        "step": None,
        "level": "info",
        "category": "run",
        "message": message,
        "details": {},
        "duration_ms": None,
    }
    return {**entry, **changes}


async def deliver(committer: Committer, *records: object, payload: str | None = None) -> UUID:
    batch = new_id()
    await write_log_batch(committer, payload or pack(json.dumps(records)), job_id(batch))
    return batch


async def letters(db: Database) -> list[Row]:
    return await db.fetch("SELECT id, batch_id, raw, error FROM log_dead_letters ORDER BY at, id")


async def texts(db: Database, run_id: UUID) -> list[str]:
    rows = await db.fetch("SELECT message FROM execution_log WHERE run_id = $1", run_id)
    return sorted(row["message"] for row in rows)


@pytest.mark.fault("F7")
async def test_the_same_batch_twice_leaves_one_set_of_rows(database: Database, run_id: UUID) -> None:
    records = [record(run_id, str(n)) for n in range(50)]
    async with open_committer(database) as committer:
        await deliver(committer, *records)
        await deliver(committer, *records)
    assert await texts(database, run_id) == sorted(str(n) for n in range(50))


async def test_many_batches_are_committed_in_few_statements(database: Database, run_id: UUID) -> None:
    async with open_committer(database) as committer:
        batches = [[record(run_id, f"{batch}.{n}") for n in range(20)] for batch in range(100)]
        await asyncio.gather(*(deliver(committer, *records) for records in batches))
        assert committer.counters.batches == 100
        assert committer.counters.statements < 20
    assert len(await texts(database, run_id)) == 2_000


@pytest.mark.parametrize(
    "changes",
    [
        {"message": "null \x00"},
        {"message": "half \ud800"},
        {"details": {"deep": "\x00", "half\udc00": [1]}},
        {"level": "loud"},
        {"category": 7},
        {"concept_id": "no uuid"},
        {"duration_ms": 2**40},
        {"duration_ms": -1},
        {"duration_ms": 1.5},
        {"details": None},
        {"details": "text"},
        {"step": "\x00"},
    ],
)
async def test_a_bad_field_is_mended_and_harms_nobody(
    database: Database, run_id: UUID, changes: dict[str, object]
) -> None:
    async with open_committer(database) as committer:
        await asyncio.gather(
            deliver(committer, record(run_id, "before"), record(run_id, "bad", **changes), record(run_id, "after")),
            deliver(committer, record(run_id, "neighbour")),
        )
    assert len(await texts(database, run_id)) == 4
    assert await letters(database) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "not an id"},
        {"at": "someday"},
        {"run_id": None},
        {"at": "2026-11-21T12:00:00+23:59"},
    ],
)
async def test_what_cannot_be_stored_becomes_a_dead_letter_alone(
    database: Database, run_id: UUID, bad: dict[str, object]
) -> None:
    others = [record(run_id, str(n)) for n in range(9)]
    payload = pack(json.dumps([*others[:4], record(run_id, "culprit", **bad), *others[4:]]))
    async with open_committer(database) as committer:
        batch = await deliver(committer, payload=payload)
        await write_log_batch(committer, payload, job_id(batch))
    (letter,) = await letters(database)
    assert letter["batch_id"] == batch
    assert b"culprit" in letter["raw"]
    assert await texts(database, run_id) == [str(n) for n in range(9)]


async def test_a_number_of_absurd_length_is_kept_as_text(database: Database, run_id: UUID) -> None:
    text = json.dumps([record(run_id, "huge", details={"number": 0})])
    async with open_committer(database) as committer:
        await deliver(committer, payload=pack(text.replace('"number": 0', '"number": 1' + "0" * 140_000)))
    assert await texts(database, run_id) == ["huge"]


@pytest.mark.parametrize("payload", ["", "hello", "z!!!", "zAAAA", '[{"id": }]', "[1],[2", "[" * 50_000 + "]" * 50_000])
async def test_an_unreadable_batch_is_kept_as_it_came(database: Database, run_id: UUID, payload: str) -> None:
    async with open_committer(database) as committer:
        batch = new_id()
        await asyncio.gather(
            write_log_batch(committer, payload, job_id(batch)), deliver(committer, record(run_id, "neighbour"))
        )
        await write_log_batch(committer, payload, job_id(batch))
    (letter,) = await letters(database)
    assert (letter["id"], bytes(letter["raw"])) == (batch, payload.encode())
    assert await texts(database, run_id) == ["neighbour"]


async def test_a_database_that_refuses_to_write_is_an_outage_and_not_the_entries_fault(
    database: Database, run_id: UUID
) -> None:
    await database.execute("ALTER TABLE execution_log RENAME TO gone")
    async with open_committer(database) as committer:
        entry = record(run_id, "later")
        with pytest.raises(Outage):
            await deliver(committer, entry)
        await database.execute("ALTER TABLE gone RENAME TO execution_log")
        await deliver(committer, entry)
    assert await texts(database, run_id) == ["later"]


@pytest.mark.fault("F7")
async def test_a_job_that_waits_when_the_committer_ends_is_delivered_again(database: Database, run_id: UUID) -> None:
    async with database.transaction() as blocker:
        await blocker.execute("LOCK TABLE execution_log IN ACCESS EXCLUSIVE MODE")
        async with open_committer(database) as committer:
            job = asyncio.create_task(deliver(committer, record(run_id, "waits")))
            await asyncio.sleep(0)
            done, _ = await asyncio.wait([job], timeout=0.1)
            assert not done
        with pytest.raises(Outage):
            await job


async def test_the_stored_entry_is_what_was_noted(database: Database) -> None:
    assert {category.value for category in Category} == {"run", "step", "model", "content", "queue"}
    assert await stored(database, new_id()) == []
    assert await messages(database, new_id()) == []
