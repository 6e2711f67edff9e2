"""The migrations' runner against real databases, with small folders of SQL."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs
from waiting import eventually

from roadmap import migrate as runner
from roadmap.database import Database
from roadmap.errors import Misconfigured, Outage

FIRST = "CREATE TABLE first (id int);\nINSERT INTO first VALUES (1);\n"
SECOND = "CREATE TABLE second (id int);\n"
BROKEN = "CREATE TABLE second (id int);\nSELECT 1 / 0;\n"

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Write:
    def write(**files: str) -> Path:
        for name, sql in files.items():
            (tmp_path / f"{name.removeprefix('m')}.sql").write_text(sql)
        return tmp_path

    return write


async def tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 2200")
    finally:
        await connection.close()
    return {row["relname"] for row in rows}


async def test_an_empty_database_becomes_current_and_twice_is_nothing(empty_database_url: str, folder: Write) -> None:
    sql = folder(m0001_first=FIRST, m0002_second=SECOND)
    assert await runner.migrate(empty_database_url, sql) == ["0001_first", "0002_second"]
    assert await runner.migrate(empty_database_url, sql) == []
    assert await tables(empty_database_url) == {"first", "second", "schema_migrations"}


@pytest.mark.fault("F28")
async def test_two_migrations_at_once_both_succeed_and_only_one_applies(empty_database_url: str, folder: Write) -> None:
    sql = folder(m0001_first="SELECT pg_sleep(0.3);\n" + FIRST, m0002_second=SECOND)
    names = await asyncio.gather(*(runner.migrate(empty_database_url, sql) for _ in range(3)))
    assert sorted(names) == [[], [], ["0001_first", "0002_second"]]


async def test_a_file_that_fails_leaves_the_earlier_one_and_nothing_of_itself(
    empty_database_url: str, folder: Write
) -> None:
    sql = folder(m0001_first=FIRST, m0002_second=BROKEN)
    with pytest.raises(asyncpg.DivisionByZeroError) as failure:
        await runner.migrate(empty_database_url, sql)
    assert failure.value.__notes__ == ["in migration 0002_second"]
    assert await tables(empty_database_url) == {"first", "schema_migrations"}
    assert await runner.migrate(empty_database_url, folder(m0002_second=SECOND)) == ["0002_second"]


@pytest.mark.fault("F28")
async def test_a_migration_that_is_killed_half_way_converges_when_run_again(
    empty_database_url: str, folder: Write
) -> None:
    sql = folder(m0001_first=FIRST, m0002_second=SECOND + "SELECT pg_sleep(30);\n")
    running = asyncio.create_task(runner.migrate(empty_database_url, sql))
    await kill_backend_in(empty_database_url, "pg_sleep")
    with pytest.raises(Outage, match="0002_second"):
        await running
    assert await tables(empty_database_url) == {"first", "schema_migrations"}
    assert await runner.migrate(empty_database_url, folder(m0002_second=SECOND)) == ["0002_second"]


async def kill_backend_in(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE query LIKE '%' || $1 || '%' AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    try:
        async with asyncio.timeout(10):
            while not await connection.fetch(kill, statement):
                await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def test_a_table_that_is_in_use_delays_its_migration_only(empty_database_url: str, folder: Write) -> None:
    await runner.migrate(empty_database_url, folder(m0001_first=FIRST))
    sql = folder(m0002_second="SET LOCAL lock_timeout = '50ms';\nALTER TABLE first ADD COLUMN name text;\n")
    connection = await asyncpg.connect(empty_database_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetch("SELECT * FROM first")
        running = asyncio.create_task(runner.migrate(empty_database_url, sql))
        done, _ = await asyncio.wait([running], timeout=0.5)
        assert not done
        await transaction.rollback()
        assert await running == ["0002_second"]
    finally:
        await connection.close()


async def test_a_changed_file_is_refused(empty_database_url: str, folder: Write) -> None:
    await runner.migrate(empty_database_url, folder(m0001_first=FIRST))
    with pytest.raises(Misconfigured, match="0001_first was changed"):
        await runner.migrate(empty_database_url, folder(m0001_first=FIRST + "-- oh\n", m0002_second=SECOND))
    assert await tables(empty_database_url) == {"first", "schema_migrations"}


async def test_line_ends_do_not_count_as_a_change(empty_database_url: str, folder: Write) -> None:
    sql = folder(m0001_first=FIRST)
    await runner.migrate(empty_database_url, sql)
    (sql / "0001_first.sql").write_bytes(FIRST.replace("\n", "\r\n").encode())
    assert await runner.migrate(empty_database_url, sql) == []


async def test_a_dry_run_shows_the_sql_and_changes_nothing(empty_database_url: str, folder: Write) -> None:
    sql = folder(m0001_first=FIRST, m0002_second=SECOND)
    assert await runner.dry_run(empty_database_url, sql) == f"-- 0001_first\n{FIRST}\n-- 0002_second\n{SECOND}"
    assert await runner.pending(empty_database_url, sql) == ["0001_first", "0002_second"]
    assert await tables(empty_database_url) == set()


async def test_a_newer_schema_is_fine_for_older_code(empty_database_url: str, folder: Write) -> None:
    sql = folder(m0001_first=FIRST, m0002_second=SECOND)
    await runner.migrate(empty_database_url, sql)
    (sql / "0002_second.sql").unlink()
    assert await runner.migrate(empty_database_url, sql) == []
    status = await runner.status(empty_database_url, sql)
    assert [line.name for line in status.unknown] == ["0002_second"]
    assert status.pending == ()


async def test_a_file_without_a_transaction_may_build_an_index_concurrently(
    empty_database_url: str, folder: Write
) -> None:
    index = "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS first_id ON first (id);\n"
    assert await runner.migrate(empty_database_url, folder(m0001_first=FIRST, m0002_index=index)) == [
        "0001_first",
        "0002_index",
    ]


async def test_processes_refuse_a_schema_that_is_older_than_they_need(database: Database, folder: Write) -> None:
    await runner.require_schema(database)
    with pytest.raises(Misconfigured, match="lacks 9999_later: run `roadmap migrate`"):
        await runner.require_schema(database, folder(m9999_later=SECOND))


@pytest.mark.parametrize("names", [("m1_short",), ("m0001_Upper",), ("m0001_one", "m0001_other")])
def test_a_folder_with_odd_names_is_refused(names: tuple[str, ...], folder: Write) -> None:
    with pytest.raises(Misconfigured):
        runner.read_migrations(folder(**dict.fromkeys(names, SECOND)))


async def test_who_waits_for_a_server_says_where(unused_tcp_port: int) -> None:
    place = f"127.0.0.1:{unused_tcp_port}"
    with capture_logs() as told:
        waiting = asyncio.create_task(runner.migrate(f"postgresql://roadmap:a-secret@{place}/roadmap"))
        await eventually(lambda: len(told) >= 2, "two tries")
        waiting.cancel()
        await asyncio.wait([waiting])
    assert {(line["event"], line["place"]) for line in told} == {("database_away", place)}
    assert [line["retry_in"] for line in told[:2]] == [1, 2]
    assert "a-secret" not in str(told)


async def test_a_wrong_database_name_is_a_misconfiguration(empty_database_url: str) -> None:
    with pytest.raises(Misconfigured, match="refuses"):
        await runner.migrate(empty_database_url + "_missing")
