"""API keys: shown once, stored as SHA-256, cached for a few seconds.

A key has 256 random bits, so a plain hash is enough: there is nothing to guess.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from roadmap.accounts import store
from roadmap.accounts.store import Caller
from roadmap.accounts.strength import check_email
from roadmap.audit import store as audit
from roadmap.audit.model import COMMAND_LINE, Action, Actor, Entry
from roadmap.database import Database
from roadmap.errors import NotFound, Unauthorized
from roadmap.ids import Prefix, new_id, show_id

__all__ = ["LOCAL_EMAIL", "KeyRing", "NewKey", "create_key", "local_user", "revoke_key"]

PREFIX = "rk_"
CACHED = 5.0
MOST_CACHED = 10_000
LOCAL_EMAIL = "local@localhost"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. `secret` is not stored anywhere."""

    id: UUID
    secret: str
    expires_at: datetime | None


async def create_key(
    db: Database, email: str, name: str, days: int | None, *, operator: bool = False, actor: Actor = COMMAND_LINE
) -> NewKey:
    """A key for the user of this address, who is created when there is none. `days` until it expires; None: never."""
    check_email(email)
    secret = PREFIX + secrets.token_urlsafe(32)
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    key = NewKey(new_id(), secret, expires_at)
    async with db.transaction() as tx:
        user_id = await store.ensure_user(tx, new_id(), email)
        await store.insert_key(tx, store.KeyRow(key.id, user_id, name, hash_key(secret), expires_at, operator))
        details = {"key": show_id(Prefix.KEY, key.id), "name": name, "operator": operator}
        await audit.insert(tx, Entry(actor, Action.KEY_CREATED, email, details))
    return key


async def revoke_key(db: Database, key_id: UUID, actor: Actor) -> None:
    """Within seconds it is refused everywhere. Raises NotFound for one that does not hold any more."""
    async with db.transaction() as tx:
        email = await store.revoke_key(tx, key_id)
        if email is None:
            raise NotFound("no such key that still holds")
        await audit.insert(tx, Entry(actor, Action.KEY_REVOKED, email, {"key": show_id(Prefix.KEY, key_id)}))


async def local_user(db: Database) -> UUID:
    """The one user of a machine with AUTH_MODE=none."""
    return await store.ensure_user(db, new_id(), LOCAL_EMAIL)


def hash_key(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


class KeyRing:
    """Finds the caller behind a key; one look at the database per key and CACHED seconds."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Caller | None, float]] = {}

    async def caller(self, db: Database, secret: str) -> Caller:
        """Whose key it is. Raises Unauthorized when it is unknown, expired or revoked."""
        if not secret.startswith(PREFIX) or len(secret) > 100:
            raise Unauthorized("this is no API key of ours")
        sha256 = hash_key(secret)
        caller, until = self._known.get(sha256, (None, 0.0))
        if until <= time.monotonic():
            caller = await store.find_caller(db, sha256)
            self._remember(sha256, caller)
        if caller is None:
            raise Unauthorized("this API key is unknown or no longer good")
        return caller

    def _remember(self, sha256: bytes, caller: Caller | None) -> None:
        """The oldest makes room: a flood of made-up keys must not cost everybody their cached one at once."""
        self._known.pop(sha256, None)
        if len(self._known) >= MOST_CACHED:
            del self._known[next(iter(self._known))]
        self._known[sha256] = (caller, time.monotonic() + CACHED)
