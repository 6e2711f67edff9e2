"""Signing in: the limits first, then the password, and for whatever is wrong the same words after the same work."""

import structlog

from roadmap.accounts import limits, store
from roadmap.accounts.limits import Attempt
from roadmap.accounts.model import Account, Role
from roadmap.accounts.passwords import Passwords
from roadmap.accounts.sessions import Device
from roadmap.accounts.strength import MOST_BYTES
from roadmap.audit import store as audit
from roadmap.audit.model import UNKNOWN, Action, Actor, Entry
from roadmap.database import Database
from roadmap.errors import Unauthorized

__all__ = ["sign_in", "sign_out"]

log = structlog.get_logger()


async def sign_in(
    db: Database, passwords: Passwords, email: str, password: str, address: str | None, device: Device | None = None
) -> Account:
    """The account. Raises Unauthorized, which tells nothing, and TooMany."""
    passwords.require_room()
    attempt = Attempt.of(address, email, device)
    await limits.begin_attempt(db, attempt)
    account = await _find(db, email)
    if not await _is_right(passwords, account, password) or account is None or not account.role.allows(Role.VIEWER):
        await _refuse(db, account, address)
        raise Unauthorized("this e-mail address and this password do not go together")
    await limits.forget_failures(db, attempt)
    await _renew_hash(db, passwords, account, password)
    await audit.insert(db, Entry(_actor(account, address), Action.SIGNED_IN, account.email))
    return account


async def sign_out(db: Database, account: Actor) -> None:
    """Ends all sessions of the account: a copy of a cookie cannot be told from the cookie."""
    if account.user_id is None:
        return
    async with db.transaction() as tx:
        await store.raise_generation(tx, account.user_id)
        await audit.insert(tx, Entry(account, Action.SIGNED_OUT, account.name))


async def _find(db: Database, email: str) -> Account | None:
    """PostgreSQL takes no null character, and nobody has one."""
    return await store.find_account(db, email.strip().replace("\x00", "\ufffd")[:300])


async def _is_right(passwords: Passwords, account: Account | None, password: str) -> bool:
    """One verification in every case."""
    if len(password.encode("utf-8", "replace")) > MOST_BYTES:
        return await passwords.verify(None, "")
    return await passwords.verify(account.password_hash if account else None, password)


async def _refuse(db: Database, account: Account | None, address: str | None) -> None:
    """Rows in the audit log are one a minute and account, and one for all that are none: strangers cause them."""
    subject = account.email if account else UNKNOWN
    await audit.insert_once_a_minute(db, Entry(Actor(UNKNOWN, None, address), Action.SIGN_IN_REFUSED, subject))
    log.warning("sign_in_refused", address=address, known=account is not None)


async def _renew_hash(db: Database, passwords: Passwords, account: Account, password: str) -> None:
    old = account.password_hash
    if old is not None and passwords.is_outdated(old):
        await store.replace_hash(db, account.user_id, old, await passwords.hash(password))


def _actor(account: Account, address: str | None) -> Actor:
    return Actor(account.email, account.user_id, address)
