"""Minutes in PostgreSQL: whatever is written twice, late or at once, each job is counted once."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from totals import read_totals
from waiting import eventually

from roadmap.database import Database, Executor, Pool, open_database
from roadmap.errors import Outage
from roadmap.figures import store
from roadmap.figures.buckets import BOUNDS, bucket
from roadmap.figures.model import Outcome, Step
from roadmap.figures.recording import Figures, open_figures
from roadmap.metrics import Metrics

HOUR = timedelta(hours=1)


def jobs() -> Any:
    return Metrics("test").jobs


async def figures_of(db: Database, process: str = "p1") -> Figures:
    """At the beginning of this minute."""
    return Figures(process, jobs(), (await store.read_clock(db)).replace(second=0, microsecond=0))


async def age(db: Database, minutes: int) -> None:
    """As if the minutes had been written so long ago."""
    await db.execute("UPDATE process_minutes SET minute = minute - make_interval(mins => $1)", minutes)


async def minutes(db: Executor, table: str = "process_minutes") -> list[dict[str, Any]]:
    return [dict(row) for row in await db.fetch(f"SELECT * FROM {table} ORDER BY minute, function")]


def minute_at(clock: datetime, **told: Any) -> dict[str, Any]:
    nothing = {"offered": 0, "succeeded": 0, "failed": 0, "returned": 0, "wait_ms": 0, "duration_ms": 0}
    at = int(clock.timestamp()) // 60 * 60
    return {"at": at, "function": "draft", **nothing, "waits": [], "durations": [], **told}


async def test_what_happened_in_a_minute_is_one_row_however_often_it_is_written(database: Database) -> None:
    figures = await figures_of(database)
    figures.offered("draft", 3)
    await figures.flush(database)
    figures.finished("draft", Outcome.SUCCEEDED, 0.2, 2.0)
    figures.finished("draft", Outcome.FAILED, 0.4, 6.0)
    figures.finished("draft", Outcome.FAILED, None, None)
    for _ in range(3):
        await figures.flush(database)
    tally = (await read_totals(database))["draft"]
    assert (tally.offered, tally.succeeded, tally.failed, tally.returned) == (3, 1, 2, 0)
    assert (tally.wait.count, tally.run.count) == (2, 2)
    assert (tally.wait.total, tally.run.total) == (pytest.approx(0.6), pytest.approx(8.0))


async def test_a_flush_with_nothing_new_asks_nothing(database: Database) -> None:
    figures = await figures_of(database)
    figures.offered("draft")
    await figures.flush(database)
    await database.execute("DELETE FROM process_minutes")
    await figures.flush(database)
    assert await minutes(database) == []


async def test_a_flush_that_failed_is_made_good_by_the_next(database: Database, database_url: str) -> None:
    figures = await figures_of(database)
    figures.finished("draft", Outcome.RETURNED, 0.1, 0.1)
    hasty = Pool(database_url, size=1, name="test", statement_timeout=0.3)
    async with open_database(hasty) as narrow, database.transaction() as tx:
        await tx.execute("LOCK TABLE process_minutes")
        with pytest.raises(Outage):
            await figures.flush(narrow)
    figures.finished("draft", Outcome.RETURNED, 0.1, 0.1)
    await figures.flush(database)
    assert [row["returned"] for row in await minutes(database)] == [2]


async def test_processes_are_added_up_once_when_a_minute_is_over(database: Database) -> None:
    clock = (await store.read_clock(database)).replace(second=0)
    for process, seconds in (("p1", 1.0), ("p2", 40.0)):
        figures = Figures(process, jobs(), clock)
        figures.offered("draft")
        figures.finished("draft", Outcome.SUCCEEDED, 0.1, seconds)
        await figures.flush(database)
    await store.roll_up(database)
    assert len(await minutes(database)) == 2
    await age(database, 14)
    before = await read_totals(database)
    for _ in range(2):
        await store.roll_up(database)
    assert await minutes(database) == []
    row = (await minutes(database, "function_minutes"))[0]
    assert (row["offered"], row["succeeded"], row["duration_ms"]) == (2, 2, 41_000)
    assert (row["durations"][bucket(1.0)], row["durations"][bucket(40.0)], sum(row["durations"])) == (1, 1, 2)
    assert await read_totals(database) == before


async def test_a_minute_that_comes_in_parts_is_added_to(database: Database) -> None:
    clock = await store.read_clock(database) - timedelta(minutes=8)
    for process, durations in (("p1", [0, 1]), ("p2", [2, 0, 0, 3])):
        told = minute_at(clock, succeeded=sum(durations), durations=durations, duration_ms=10)
        assert (await store.write_minutes(database, process, [told]))[0] == 1
        await age(database, 6)
        await store.roll_up(database)
    row = (await minutes(database, "function_minutes"))[0]
    assert (row["succeeded"], row["duration_ms"], row["durations"], sum(row["waits"])) == (6, 20, [2, 1, 0, 3], 0)


async def test_a_process_that_froze_over_its_minute_counts_nothing_twice(database: Database) -> None:
    clock = await store.read_clock(database)
    told = minute_at(clock - timedelta(minutes=5), succeeded=7)
    await store.write_minutes(database, "p1", [told])
    await age(database, 9)
    await store.roll_up(database)  # the others went on
    thawed = minute_at(clock - timedelta(minutes=14), succeeded=9)
    written, _ = await store.write_minutes(database, "p1", [thawed, minute_at(clock, offered=1)])
    assert written == 1
    await store.roll_up(database)
    tally = (await read_totals(database))["draft"]
    assert (tally.succeeded, tally.offered) == (7, 1)


async def test_a_process_with_a_wrong_clock_counts_by_the_databases(database: Database) -> None:
    wrong = await store.read_clock(database) - timedelta(minutes=30)
    figures = Figures("p1", jobs(), wrong)
    figures.offered("draft")
    await figures.flush(database)  # refused, and the clock is right from here on
    assert await minutes(database) == []
    figures.offered("draft", 2)
    await figures.flush(database)
    assert [row["offered"] for row in await minutes(database)] == [2]


async def test_many_writers_and_many_who_roll_up_lose_nothing_and_double_nothing(database: Database) -> None:
    clock = await store.read_clock(database)
    written = 0
    for at in range(1, 9):
        for process in range(4):
            told = [
                minute_at(clock - timedelta(minutes=at), function=name, succeeded=at, durations=[process, 1])
                for name in ("draft", "write_concept")
            ]
            written += 2 * at
            await store.write_minutes(database, f"p{process}", told)
    await age(database, 8)
    await asyncio.gather(*(store.roll_up(database) for _ in range(8)))
    rolled = await minutes(database, "function_minutes")
    assert rolled
    rest = await minutes(database)
    assert rest
    assert sum(row["succeeded"] for row in rolled + rest) == written
    assert all(row["durations"] == [6, 4] for row in rolled)
    total = sum(tally.succeeded for tally in (await read_totals(database)).values())
    assert total == written


async def test_figures_are_forgotten_after_seven_days(database: Database) -> None:
    clock = await store.read_clock(database)
    await store.write_minutes(database, "p1", [minute_at(clock, offered=1)])
    await age(database, 7 * 24 * 60 + 2)
    await store.roll_up(database)
    await store.write_minutes(database, "p1", [minute_at(clock, offered=1)])
    await age(database, 6 * 24 * 60)
    await store.roll_up(database)
    await store.forget_old_minutes(database)
    assert len(await minutes(database, "function_minutes")) == 1


async def test_a_series_is_by_minute_or_by_hour_and_of_both_tables(database: Database) -> None:
    clock = await store.read_clock(database)
    for ago in (1, 2, 9):
        await store.write_minutes(database, "p1", [minute_at(clock - timedelta(minutes=ago), offered=ago)])
    await database.execute("UPDATE process_minutes SET minute = minute - interval '3 hours' WHERE offered = 9")
    await store.roll_up(database)
    by_minute = (await store.read_series(database, timedelta(hours=6), Step.MINUTE))["draft"]
    assert [point.tally.offered for point in by_minute] == [9, 2, 1]
    by_hour = (await store.read_series(database, timedelta(days=7), Step.HOUR, "draft"))["draft"]
    assert sum(point.tally.offered for point in by_hour) == 12
    assert all(point.at.minute == 0 for point in by_hour)
    assert len(await minutes(database, "function_minutes")) == 1
    assert await store.read_series(database, HOUR, Step.MINUTE, "write_concept") == {}


async def test_the_last_seconds_are_written_when_a_process_ends(database: Database) -> None:
    async with open_figures(database, "p1", jobs()) as figures:
        figures.finished("draft", Outcome.SUCCEEDED, 0.0, BOUNDS[3])
    assert [row["succeeded"] for row in await minutes(database)] == [1]


async def test_an_end_without_postgresql_takes_two_seconds_at_most(database: Database, database_url: str) -> None:
    loop = asyncio.get_running_loop()
    async with open_database(Pool(database_url, size=1, name="test")) as own:
        async with open_figures(own, "p1", jobs()) as figures:
            blocker = database.transaction()
            tx = await blocker.__aenter__()
            await tx.execute("LOCK TABLE process_minutes")
            figures.offered("draft")
            ends = loop.time()
        assert loop.time() - ends < 4
        await blocker.__aexit__(None, None, None)
    assert await minutes(database) == []


async def test_a_long_outage_is_remembered_for_ten_minutes_and_no_longer(database: Database) -> None:
    clock = await store.read_clock(database)
    figures = Figures("p1", jobs(), clock - timedelta(minutes=30))
    for minute in range(30):
        figures._set_clock(clock - timedelta(minutes=29 - minute))
        for function in ("draft", "write_concept"):
            figures.offered(function)
    assert len(figures._minutes) <= 2 * (store.OPEN_MINUTES + 1)
    await figures.flush(database)
    assert len(await minutes(database)) >= 2 * (store.OPEN_MINUTES - 1)


async def test_figures_of_a_living_process_are_there_within_seconds(database: Database) -> None:
    async with open_figures(database, "p1", jobs()) as figures:
        figures.offered("draft")
        await eventually(lambda: minutes(database), "the minute is written", within=15)
