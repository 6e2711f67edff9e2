"""What may be done to operators' accounts. Each change ends the sessions before it, and is audited with it."""

import structlog

from roadmap.accounts import limits, store
from roadmap.accounts.limits import Attempt
from roadmap.accounts.model import Role
from roadmap.accounts.passwords import Passwords
from roadmap.accounts.strength import check_email, check_password
from roadmap.audit import store as audit
from roadmap.audit.model import Action, Actor, Entry
from roadmap.database import Database
from roadmap.errors import Conflict, Invalid, NotFound
from roadmap.ids import Prefix, new_id, show_id

__all__ = ["create_account", "ensure_first_operator", "fault_of_first_operator", "set_password", "set_role"]

log = structlog.get_logger()

SETTINGS = Actor("ADMIN_EMAIL")
NO_OPERATOR = "ADMIN_EMAIL has an account that is no operator, and stays as it is; `roadmap admin role` makes it one"


async def create_account(
    db: Database, passwords: Passwords, email: str, password: str, *, role: Role, actor: Actor
) -> None:
    """Raises Invalid, and Conflict for an account that is there."""
    check_email(email)
    check_password(password, email)
    if role is Role.LEARNER:
        raise Invalid("a learner has no password: give viewer or operator")
    password_hash = await passwords.hash(password)
    async with db.transaction() as tx:
        user_id = await store.insert_account(tx, new_id(), email, role, password_hash)
        if user_id is None:
            raise Conflict("there is an account of this address; set its password or its role")
        await audit.insert(tx, Entry(actor, Action.ACCOUNT_CREATED, email, {"role": role}))


async def set_password(db: Database, passwords: Passwords, email: str, password: str, *, actor: Actor) -> None:
    """Also ends the pause that failed sign-ins have brought. Raises Invalid, and NotFound."""
    check_password(password, email)
    password_hash = await passwords.hash(password)
    async with db.transaction() as tx:
        if await store.set_password(tx, email, password_hash) is None:
            raise NotFound("nobody of this address may sign in; `roadmap admin create` makes an account")
        await limits.forget_failures(tx, Attempt.of(None, email))
        await audit.insert(tx, Entry(actor, Action.PASSWORD_SET, email))


async def set_role(db: Database, email: str, role: Role, *, actor: Actor) -> int:
    """How many API keys were revoked: below an operator nobody keeps one that operates.

    Raises NotFound, and Conflict for a learner without a password, who cannot sign in.
    """
    async with db.transaction() as tx:
        changed = await store.set_role(tx, email, role)
        if changed is None:
            raise NotFound("there is nobody of this address")
        if role is not Role.LEARNER and not changed["has_password"]:
            raise Conflict("there is no password yet; `roadmap admin create` sets one with the role")
        await audit.insert(tx, Entry(actor, Action.ROLE_SET, email, {"role": role}))
        revoked = [] if role.allows(Role.OPERATOR) else await store.revoke_operator_keys(tx, changed["id"])
        for key_id in revoked:
            await audit.insert(tx, Entry(actor, Action.KEY_REVOKED, email, {"key": show_id(Prefix.KEY, key_id)}))
    return len(revoked)


async def ensure_first_operator(db: Database, passwords: Passwords, email: str, password: str) -> bool:
    """Creates the operator whom the settings name, unless there is one already. Of several processes at once, one does.

    Raises Invalid.
    """
    if await store.has_operator(db):
        return False
    try:
        await create_account(db, passwords, email, password, role=Role.OPERATOR, actor=SETTINGS)
    except Conflict:
        if not await store.has_operator(db):  # else another process was first
            log.warning("first_operator_not_created", advice=NO_OPERATOR)
        return False
    return True


async def fault_of_first_operator(db: Database, email: str, password: str) -> str | None:
    """What would keep `ensure_first_operator` from its work; None: nothing would, or it is done."""
    if await store.has_operator(db):
        return None
    try:
        check_email(email)
        check_password(password, email)
    except Invalid as exc:
        return f"ADMIN_EMAIL and ADMIN_PASSWORD: {exc}"
    there = await store.find_account(db, email)
    return NO_OPERATOR if there and (there.password_hash or there.role is not Role.LEARNER) else None
