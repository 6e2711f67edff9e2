"""Operators' accounts: created once, changed, and each change ends the sessions before it."""

import asyncio
from typing import Any

import pytest
from inside import Api, open_api
from operators import OLGA, PASSWORD, VERA, add_account

from roadmap.accounts import service, store
from roadmap.accounts.keys import KeyRing, create_key
from roadmap.accounts.limits import Attempt, begin_attempt
from roadmap.accounts.model import Account, Role
from roadmap.accounts.passwords import Passwords, open_passwords
from roadmap.accounts.sessions import Roster, Session
from roadmap.audit.model import COMMAND_LINE
from roadmap.database import Database
from roadmap.errors import Conflict, Invalid, Misconfigured, NotFound, TooMany, Unauthorized
from roadmap.ids import Prefix, show_id

FIRST = {"admin_email": OLGA, "admin_password": PASSWORD}


async def account(db: Database, email: str = OLGA) -> Account:
    found = await store.find_account(db, email)
    assert found is not None
    return found


async def actions(db: Database) -> list[tuple[str, str, str]]:
    rows = await db.fetch("SELECT action, actor, subject FROM audit_log ORDER BY id")
    return [(row["action"], row["actor"], row["subject"]) for row in rows]


def test_an_operator_may_do_what_a_viewer_may_and_a_learner_nothing_of_it() -> None:
    allowed = {role: [needed for needed in Role if role.allows(needed)] for role in Role}
    assert allowed == {
        Role.LEARNER: [Role.LEARNER],
        Role.VIEWER: [Role.LEARNER, Role.VIEWER],
        Role.OPERATOR: [Role.LEARNER, Role.VIEWER, Role.OPERATOR],
    }


async def test_an_account_that_is_there_is_not_created_again(database: Database) -> None:
    await add_account(database, OLGA, Role.VIEWER)
    before = await account(database)
    with pytest.raises(Conflict):
        await add_account(database, OLGA.upper(), Role.OPERATOR, "another long passphrase")
    assert await account(database) == before
    assert await actions(database) == [("account_created", "command line", OLGA)]


async def test_a_learner_with_an_api_key_may_become_an_operator(database: Database) -> None:
    await create_key(database, OLGA, "laptop", None)
    learner = await account(database)
    await add_account(database, OLGA, Role.OPERATOR)
    operator = await account(database)
    assert (learner.role, learner.password_hash) == (Role.LEARNER, None)
    assert (operator.role, operator.user_id) == (Role.OPERATOR, learner.user_id)


async def test_learners_have_no_password(database: Database) -> None:
    with pytest.raises(Invalid, match="a learner has no password"):
        await add_account(database, OLGA, Role.LEARNER)
    await create_key(database, OLGA, "laptop", None)
    with open_passwords() as passwords, pytest.raises(NotFound):
        await service.set_password(database, passwords, OLGA, PASSWORD, actor=COMMAND_LINE)
    with pytest.raises(Conflict, match="no password yet"):
        await service.set_role(database, OLGA, Role.VIEWER, actor=COMMAND_LINE)
    assert (await account(database)).role is Role.LEARNER
    with pytest.raises(NotFound):
        await service.set_role(database, VERA, Role.VIEWER, actor=COMMAND_LINE)


async def test_a_new_password_another_role_and_a_deletion_end_sessions(database: Database) -> None:
    await add_account(database, OLGA, Role.OPERATOR)

    async def holds(session: Session) -> bool:
        return await Roster().account(database, session) is not None

    with open_passwords() as passwords:
        session = Session.begin(await account(database))
        assert await holds(session)
        await service.set_password(database, passwords, OLGA, "another long passphrase", actor=COMMAND_LINE)
        assert not await holds(session)
        assert await passwords.verify((await account(database)).password_hash, "another long passphrase")
    session = Session.begin(await account(database))
    await service.set_role(database, OLGA, Role.VIEWER, actor=COMMAND_LINE)
    assert not await holds(session)
    session = Session.begin(await account(database))
    await database.execute("DELETE FROM users WHERE id = $1", session.user_id)
    assert not await holds(session)
    assert [action for action, _, _ in await actions(database)] == ["account_created", "password_set", "role_set"]


async def test_an_account_is_looked_up_once_in_a_few_seconds_unless_it_is_forgotten(database: Database) -> None:
    await add_account(database, OLGA, Role.OPERATOR)
    roster, session = Roster(), Session.begin(await account(database))
    assert await roster.account(database, session) is not None
    await store.raise_generation(database, session.user_id)
    assert await roster.account(database, session) is not None
    roster.forget(session.user_id)
    assert await roster.account(database, session) is None


async def test_a_session_begun_on_another_replica_holds_at_once(database: Database) -> None:
    await add_account(database, OLGA, Role.OPERATOR)
    here, before = Roster(), Session.begin(await account(database))
    assert await here.account(database, before) is not None
    await store.raise_generation(database, before.user_id)  # signed out over there, and in again
    assert await here.account(database, Session.begin(await account(database))) is not None
    assert await here.account(database, before) is None


async def test_whoever_is_no_operator_any_more_keeps_no_key_that_operates(database: Database) -> None:
    await add_account(database, OLGA, Role.OPERATOR)
    await add_account(database, VERA, Role.OPERATOR)
    kept = [await create_key(database, OLGA, "reads", None), await create_key(database, VERA, "x", None, operator=True)]
    gone = [await create_key(database, OLGA, name, None, operator=True) for name in ("laptop", "ci")]
    assert await service.set_role(database, OLGA, Role.OPERATOR, actor=COMMAND_LINE) == 0
    assert await service.set_role(database, OLGA, Role.VIEWER, actor=COMMAND_LINE) == 2
    assert await service.set_role(database, OLGA, Role.LEARNER, actor=COMMAND_LINE) == 0
    for key in kept:
        assert await KeyRing().caller(database, key.secret)
    for key in gone:
        with pytest.raises(Unauthorized):
            await KeyRing().caller(database, key.secret)
    rows = await database.fetch("SELECT subject, details FROM audit_log WHERE action = 'key_revoked'")
    told = {(row["subject"], row["details"]["key"]) for row in rows}
    assert told == {(OLGA, show_id(Prefix.KEY, key.id)) for key in gone}


async def test_a_role_that_is_refused_revokes_nothing(database: Database) -> None:
    key = await create_key(database, OLGA, "ci", None, operator=True)
    with pytest.raises(Conflict):
        await service.set_role(database, OLGA, Role.VIEWER, actor=COMMAND_LINE)
    assert await KeyRing().caller(database, key.secret)


async def test_an_account_gets_a_new_password_before_its_role_is_raised_again(
    database: Database, passwords: Passwords
) -> None:
    await add_account(database, OLGA, Role.OPERATOR)
    await service.set_role(database, OLGA, Role.LEARNER, actor=COMMAND_LINE)
    await service.set_password(database, passwords, OLGA, "another long passphrase", actor=COMMAND_LINE)
    await service.set_role(database, OLGA, Role.VIEWER, actor=COMMAND_LINE)
    assert await passwords.verify((await account(database)).password_hash, "another long passphrase")


async def test_a_new_password_ends_the_pause_of_its_account(database: Database) -> None:
    await add_account(database, OLGA, Role.OPERATOR)
    for number in range(10):
        await begin_attempt(database, Attempt.of(f"198.51.100.{number}", OLGA))
    with pytest.raises(TooMany):
        await begin_attempt(database, Attempt.of("203.0.113.7", OLGA))
    with open_passwords() as passwords:
        await service.set_password(database, passwords, OLGA, "another long passphrase", actor=COMMAND_LINE)
    await begin_attempt(database, Attempt.of("203.0.113.7", OLGA))


async def test_the_first_operator_comes_from_the_settings_once_of_many_replicas(
    database: Database, database_url: str, redis_url: str
) -> None:
    async with open_api(database_url, redis_url, **FIRST):
        created = await account(database)
        assert created.role is Role.OPERATOR
    again: dict[str, Any] = {"admin_email": OLGA, "admin_password": "another long passphrase"}
    async with open_api(database_url, redis_url, **again):
        assert await account(database) == created
    assert ("account_created", "ADMIN_EMAIL", OLGA) in await actions(database)


async def test_of_processes_that_start_together_one_creates_the_first_operator(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_passwords() as passwords:

        async def start(password: str) -> bool:
            return await service.ensure_first_operator(database, passwords, OLGA, password)

        started = await asyncio.gather(*[start(f"violet otter {number} paints fences") for number in range(5)])
    assert sorted(started) == [False] * 4 + [True]
    assert "first_operator_not_created" not in capsys.readouterr().out
    assert await actions(database) == [("account_created", "ADMIN_EMAIL", OLGA)]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.LEARNER])
async def test_the_settings_change_no_account_that_is_there_and_say_that_nobody_operates(
    database: Database, passwords: Passwords, capsys: pytest.CaptureFixture[str], role: Role
) -> None:
    await add_account(database, OLGA, Role.VIEWER)
    await service.set_role(database, OLGA, role, actor=COMMAND_LINE)
    before = await account(database)
    assert not await service.ensure_first_operator(database, passwords, OLGA, "another long passphrase")
    assert await account(database) == before
    told = capsys.readouterr().out
    assert "first_operator_not_created" in told
    assert OLGA not in told
    assert "is no operator" in str(await service.fault_of_first_operator(database, OLGA, PASSWORD))


@pytest.fixture
def passwords() -> Any:
    with open_passwords() as opened:
        yield opened


@pytest.mark.parametrize("password", ["admin123", "changeme12345", "Password2024!"])
async def test_a_weak_first_password_keeps_web_from_starting(
    database: Database, database_url: str, redis_url: str, password: str
) -> None:
    refused = pytest.RaisesExc(Misconfigured, check=lambda exc: "PASSWORD" in str(exc) and password not in str(exc))
    with pytest.RaisesGroup(refused, allow_unwrapped=True, flatten_subgroups=True):
        async with open_api(database_url, redis_url, admin_email=OLGA, admin_password=password):
            pass
    assert await store.find_account(database, OLGA) is None


async def test_nobody_is_there_without_the_settings(api: Api) -> None:
    assert await store.list_accounts(api.db, 10) == []
