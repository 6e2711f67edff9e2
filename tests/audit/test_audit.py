"""The audit log: what it says, how it is read, and that strangers cannot fill it."""

from typing import Any

import pytest

from roadmap.audit.model import COMMAND_LINE, UNKNOWN, Action, Actor, Entry
from roadmap.audit.store import Filters, forget_old_entries, insert, insert_once_a_minute, list_entries
from roadmap.database import Database
from roadmap.ids import new_id


def entry(subject: str, action: Action = Action.QUEUE_PAUSED, actor: Actor = COMMAND_LINE, **details: Any) -> Entry:
    return Entry(actor, action, subject, details)


async def subjects(db: Database, *, limit: int = 100, **filters: Any) -> list[str]:
    return [row.subject for row in await list_entries(db, Filters(**filters), None, limit)]


async def test_entries_are_listed_newest_first_by_page_and_filter(database: Database) -> None:
    user_id = new_id()
    await database.execute("INSERT INTO users (id, email) VALUES ($1, 'olga@example.org')", user_id)
    olga = Actor("olga@example.org", user_id, "203.0.113.7")
    await insert(database, entry("content", actor=olga, why="a flood"))
    await insert(database, entry("logs"))
    await insert(database, entry("content", Action.QUEUE_RESUMED))
    newest, *older = await list_entries(database, Filters(), None, 2)
    assert [newest.subject, newest.action, older[0].subject] == ["content", Action.QUEUE_RESUMED, "logs"]
    (oldest,) = await list_entries(database, Filters(), older[0].id, 2)
    assert (oldest.actor, oldest.user_id, oldest.address) == ("olga@example.org", user_id, "203.0.113.7")
    assert oldest.details == {"why": "a flood"}
    assert await subjects(database, action=Action.QUEUE_PAUSED) == ["logs", "content"]
    assert await subjects(database, actor="command line") == ["content", "logs"]
    assert await subjects(database, subject="content", action=Action.QUEUE_PAUSED) == ["content"]


async def test_an_entry_outlives_its_actor_and_is_part_of_what_it_tells_of(database: Database) -> None:
    user_id = new_id()
    await database.execute("INSERT INTO users (id, email) VALUES ($1, 'olga@example.org')", user_id)
    await insert(database, entry("content", actor=Actor("olga@example.org", user_id)))
    await database.execute("DELETE FROM users WHERE id = $1", user_id)
    (kept,) = await list_entries(database, Filters(), None, 10)
    assert (kept.actor, kept.user_id) == ("olga@example.org", None)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await insert(tx, entry("logs"))
            raise ZeroDivisionError
    assert await subjects(database) == ["content"]


async def test_what_strangers_cause_is_one_row_a_minute_that_counts(database: Database) -> None:
    for number in range(40):
        who = Actor(UNKNOWN, None, f"203.0.113.{number}")
        await insert_once_a_minute(database, entry("olga@example.org", Action.SIGN_IN_REFUSED, who))
    await insert_once_a_minute(database, entry("vera@example.org", Action.SIGN_IN_REFUSED, Actor(UNKNOWN)))
    rows = await list_entries(database, Filters(subject="olga@example.org"), None, 10)
    assert len(rows) <= 2  # the minute may have turned
    assert sum(row.details["times"] for row in rows) == 40
    assert rows[0].address == "203.0.113.39"
    assert len(await subjects(database, subject="vera@example.org")) == 1


async def test_what_a_newer_release_did_is_shown_by_the_older_one(database: Database) -> None:
    await insert(database, entry("content"))
    await database.execute("ALTER TABLE audit_log DROP CONSTRAINT audit_log_action_check")
    await database.execute("UPDATE audit_log SET action = 'queue_drained'")
    assert [row.action for row in await list_entries(database, Filters(), None, 10)] == ["queue_drained"]


async def test_a_hostile_subject_is_kept_short_and_as_text(database: Database) -> None:
    await insert(database, entry("\x00<script>\ud800" + "x" * 1_000))
    (subject,) = await subjects(database)
    assert subject.startswith("\ufffd<script>?")
    assert len(subject) == 300


async def test_entries_are_kept_for_so_many_days(database: Database) -> None:
    for subject in ("content", "logs"):
        await insert(database, entry(subject))
    await database.execute("UPDATE audit_log SET at = at - interval '401 days' WHERE subject = 'logs'")
    await forget_old_entries(database, 400)
    assert await subjects(database) == ["content"]


def test_learners_are_shown_no_operator_s_address() -> None:
    operator = Actor("olga@example.org", new_id(), "203.0.113.7")
    assert operator.mark.startswith("usr_")
    assert COMMAND_LINE.mark == "cli"
