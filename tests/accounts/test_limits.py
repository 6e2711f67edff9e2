"""Limits of guessing. The database's time is moved by moving its rows back."""

import asyncio

import pytest

from roadmap.accounts.limits import (
    Attempt,
    begin_attempt,
    digest_of,
    forget_failures,
    forget_old_failures,
    network_of,
)
from roadmap.accounts.sessions import Device
from roadmap.database import Database
from roadmap.errors import TooMany

HERE, THERE, ACCOUNT = "203.0.113.7", "198.51.100.1", "olga@example.org"


async def fail(db: Database, attempt: Attempt, times: int) -> int:
    """How many of so many tries were let through."""
    done = 0
    for _ in range(times):
        try:
            await begin_attempt(db, attempt)
        except TooMany:
            return done
        done += 1
    return done


async def pause(db: Database, attempt: Attempt) -> float:
    """Seconds until the next try; 0: it was let through."""
    try:
        await begin_attempt(db, attempt)
    except TooMany as exc:
        return exc.retry_in
    return 0


async def pass_time(db: Database, seconds: float) -> None:
    await db.execute("UPDATE sign_in_failures SET last_at = last_at - make_interval(secs => $1)", seconds)


async def test_after_ten_failures_an_account_waits_longer_each_time_and_half_a_minute_at_most(
    database: Database,
) -> None:
    attempts = (Attempt.of(f"198.51.100.{number}", ACCOUNT) for number in range(200))  # a stranger with many addresses
    assert sum([await fail(database, next(attempts), 1) for _ in range(12)]) == 10
    pauses = []
    for _ in range(8):
        pauses.append(await pause(database, next(attempts)))
        await pass_time(database, pauses[-1])
        assert await pause(database, next(attempts)) == 0
    assert [round(one) for one in pauses] == [1, 2, 4, 8, 16, 30, 30, 30]


async def test_a_try_that_is_refused_is_not_counted_and_prolongs_nothing(database: Database) -> None:
    attempt = Attempt.of(HERE, ACCOUNT)
    await fail(database, attempt, 11)
    before = await database.fetch("SELECT * FROM sign_in_failures ORDER BY subject")
    assert await fail(database, attempt, 5) == 0
    assert await database.fetch("SELECT * FROM sign_in_failures ORDER BY subject") == before


async def test_after_thirty_failures_an_address_waits_whatever_account_it_tries(database: Database) -> None:
    tried = [await fail(database, Attempt.of(HERE, f"{number}@example.org"), 1) for number in range(40)]
    assert sum(tried) == 30
    assert await pause(database, Attempt.of(THERE, "39@example.org")) == 0
    for _ in range(9):
        await pass_time(database, 300)
        await pause(database, Attempt.of(HERE, "last@example.org"))
    assert 500 < await pause(database, Attempt.of(HERE, "last@example.org")) <= 900


async def test_an_hour_s_quarter_without_failures_forgives(database: Database) -> None:
    attempt = Attempt.of(HERE, ACCOUNT)
    await fail(database, attempt, 10)
    await pass_time(database, 901)
    assert await fail(database, attempt, 12) == 10


async def test_success_clears_the_account_and_takes_back_one_try_of_the_address(database: Database) -> None:
    mine, other = Attempt.of(HERE, ACCOUNT), Attempt.of(HERE, "other@example.org")
    await fail(database, other, 9)
    await fail(database, mine, 9)
    await forget_failures(database, mine)
    rows = await database.fetch("SELECT subject, failures FROM sign_in_failures ORDER BY failures")
    assert {row["subject"]: row["failures"] for row in rows} == {other.account: 9, mine.address: 17}


async def test_whoever_takes_every_try_of_an_account_does_not_hold_it_where_it_has_signed_in_before(
    database: Database,
) -> None:
    strangers = (Attempt.of(f"198.51.100.{number}", ACCOUNT) for number in range(200))
    mine = Attempt.of(HERE, ACCOUNT, Device.begin(digest_of(ACCOUNT)))
    assert sum([await fail(database, next(strangers), 1) for _ in range(20)]) == 10
    await fail(database, Attempt.of(HERE, "other@example.org"), 10)
    await fail(database, Attempt.of(HERE, "third@example.org"), 10)
    await fail(database, Attempt.of(HERE, "fourth@example.org"), 10)
    assert await pause(database, Attempt.of(HERE, "fifth@example.org")) > 0  # whoever shares her address
    assert await pause(database, Attempt.of(THERE, ACCOUNT)) > 0  # where nobody knows her
    before = await counted(database)
    assert await fail(database, mine, 12) == 10
    await pass_time(database, 1)
    assert await pause(database, mine) == 0  # its limit is the same, and its own
    await forget_failures(database, mine)
    assert await counted(database) == before  # and her success gives nothing back to those who guess
    assert await fail(database, mine, 12) == 10


async def counted(db: Database) -> dict[str, int]:
    rows = await db.fetch("SELECT subject, failures FROM sign_in_failures")
    return {row["subject"]: row["failures"] for row in rows}


def test_a_browser_is_known_for_the_account_that_signed_in_there_alone() -> None:
    device = Device.begin(digest_of("other@example.org"))
    assert Attempt.of(HERE, ACCOUNT, device) == Attempt.of(HERE, ACCOUNT)
    assert Attempt.of(HERE, " Other@Example.org", device).device is not None


async def test_a_hundred_tries_at_once_are_a_hundred_tries(database: Database) -> None:
    attempt = Attempt.of(HERE, ACCOUNT)
    assert sum(await asyncio.gather(*[fail(database, attempt, 1) for _ in range(50)])) == 10


async def test_what_was_typed_is_not_stored(database: Database) -> None:
    await fail(database, Attempt.of(HERE, "my password by mistake"), 1)
    rows = await database.fetch("SELECT subject FROM sign_in_failures")
    assert "password" not in str([row["subject"] for row in rows])


async def test_old_rows_are_removed(database: Database) -> None:
    await fail(database, Attempt.of(HERE, ACCOUNT), 1)
    await pass_time(database, 3_700)
    await fail(database, Attempt.of(THERE, "other@example.org"), 1)
    await forget_old_failures(database)
    assert await database.fetchval("SELECT count(*) FROM sign_in_failures") == 2


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/web.sock", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_address_counts_by_its_network(address: str | None, network: str) -> None:
    assert network_of(address) == network


def test_an_account_counts_by_its_address_however_it_is_written() -> None:
    assert Attempt.of(HERE, " Olga@Example.org ") == Attempt.of(HERE, ACCOUNT)
    assert Attempt.of(HERE, "\ud800") != Attempt.of(HERE, ACCOUNT)
