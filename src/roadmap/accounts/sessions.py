"""Operators' sessions, and the browsers that they had one in: signed cookies, nothing on the server.

The cookie names the account, its generation, when it was issued, and a random id. Whoever holds the key can make one,
so production wants a real key. The account is looked up for each request (for CACHED seconds it is remembered): a new
password, another role, a sign-out or a deletion ends its sessions everywhere.

A second cookie stays when a session ends, and opens nothing: it says that the account has signed in from this browser
before, so that its tries are counted apart from those of strangers (see limits).
"""

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer

from roadmap.accounts import store
from roadmap.accounts.model import Account
from roadmap.database import Database
from roadmap.errors import Misconfigured

__all__ = ["KNOWN_FOR", "LASTS", "Device", "Keys", "Roster", "Session", "make_up_key", "read_keys"]

LASTS = 12 * 3600  # seconds
KNOWN_FOR = 90 * 24 * 3600  # seconds
AHEAD = 60  # by which another replica's clock may be
MOST_COOKIE = 1_024  # characters
CACHED = 5.0
MOST_CACHED = 1_000
LEAST_KEY = 32
TOKEN_BYTES = 32
_TOKEN = re.compile(r"[0-9a-f]{128}")
# Of examples in guides; no random key holds one.
PLACEHOLDERS = (
    "change",
    "your-",
    "your_",
    "secret",
    "example",
    "placeholder",
    "default",
    "password",
    "insecure",
    "development",
)


@dataclass(frozen=True, slots=True)
class Session:
    """`id` is random: the CSRF token of its forms hangs on it. `issued_at` in seconds since 1970."""

    user_id: UUID
    generation: int
    issued_at: float
    id: str

    @classmethod
    def begin(cls, account: Account) -> "Session":
        return cls(account.user_id, account.generation, time.time(), secrets.token_urlsafe(16))


@dataclass(frozen=True, slots=True)
class Device:
    """A browser in which somebody has signed in. `account` is the digest of the address that was typed; see limits."""

    account: str
    issued_at: float
    id: str

    @classmethod
    def begin(cls, account: str) -> "Device":
        return cls(account, time.time(), secrets.token_urlsafe(16))


class Keys:
    """Signs with the first, believes all: the key before stays good until its sessions have ended."""

    def __init__(self, current: str, *previous: str) -> None:
        self._keys = (current, *previous)
        # itsdangerous signs with the last of them.
        oldest_first = list(reversed(self._keys))
        how = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        self._serializer = URLSafeSerializer(oldest_first, salt="roadmap.session", signer_kwargs=how)
        self._devices = URLSafeSerializer(oldest_first, salt="roadmap.device", signer_kwargs=how)

    def sign(self, session: Session) -> str:
        """A cookie's value."""
        fields = [session.user_id.hex, session.generation, int(session.issued_at), session.id]
        return str(self._serializer.dumps(fields))

    def read(self, cookie: str) -> Session | None:
        """None for what is forged, signed with a key of others, or too old."""
        try:
            session = _session(_load(self._serializer, cookie))
        except BadData:
            return None
        return session if _is_fresh(session.issued_at, LASTS) else None

    def sign_device(self, device: Device) -> str:
        """A cookie's value."""
        return str(self._devices.dumps([device.account, int(device.issued_at), device.id]))

    def read_device(self, cookie: str) -> Device | None:
        """As `read`."""
        try:
            device = _device(_load(self._devices, cookie))
        except BadData:
            return None
        return device if _is_fresh(device.issued_at, KNOWN_FOR) else None

    def csrf(self, session_id: str) -> str:
        """Each time another text: of one that is the same in every page, the length of compressed pages tells."""
        pad = secrets.token_bytes(TOKEN_BYTES)
        return (pad + _xor(pad, _token(self._keys[0], session_id))).hex()

    def is_csrf(self, session_id: str, token: str) -> bool:
        """In constant time. A form that was sent out before the key changed is still good."""
        if not _TOKEN.fullmatch(token):
            return False
        both = bytes.fromhex(token)
        given = _xor(both[:TOKEN_BYTES], both[TOKEN_BYTES:])
        return any(hmac.compare_digest(_token(key, session_id), given) for key in self._keys)


class Roster:
    """The accounts behind sessions; one look at the database per account and CACHED seconds."""

    def __init__(self) -> None:
        self._known: dict[UUID, tuple[Account, float]] = {}

    async def account(self, db: Database, session: Session) -> Account | None:
        """Whose session it is; None when it has ended."""
        account = self._recall(session)
        if account is None:
            account = await store.find_account_by_id(db, session.user_id)
            if account is not None:
                self._remember(account)
        return account if account is not None and account.generation == session.generation else None

    def forget(self, user_id: UUID) -> None:
        """What is known of it has changed."""
        self._known.pop(user_id, None)

    def _recall(self, session: Session) -> Account | None:
        """None when it has to be looked up. A session of a later generation was begun on another replica a moment ago:
        we signed it, so nobody can force a look."""
        account, until = self._known.get(session.user_id, (None, 0.0))
        if account is None or until <= time.monotonic() or account.generation < session.generation:
            return None
        return account

    def _remember(self, account: Account) -> None:
        self._known.pop(account.user_id, None)
        if len(self._known) >= MOST_CACHED:
            del self._known[next(iter(self._known))]
        self._known[account.user_id] = (account, time.monotonic() + CACHED)


def read_keys(current: str, previous: str, *, strict: bool) -> Keys | None:
    """None when there is no key. `strict` raises Misconfigured for that, and for one that could be guessed."""
    for name, key in (("JWT_SECRET_KEY", current), ("JWT_SECRET_KEY_PREVIOUS", previous)):
        if strict and (fault := _fault(key)) and (key or name == "JWT_SECRET_KEY"):
            raise Misconfigured(f"{name} {fault}; `openssl rand -base64 48` makes one")
    if not current:
        return None
    return Keys(current, previous) if previous else Keys(current)


def make_up_key() -> str:
    return secrets.token_urlsafe(48)


def _fault(key: str) -> str | None:
    if not key:
        return "is not set: it signs operators' sessions"
    if len(key) < LEAST_KEY:
        return f"has fewer than {LEAST_KEY} characters"
    if len(set(key)) < 10 or any(word in key.casefold() for word in PLACEHOLDERS):
        return "could be guessed"
    return None


def _load(serializer: URLSafeSerializer, cookie: str) -> Any:
    """Raises BadData."""
    if len(cookie) > MOST_COOKIE:
        raise BadData("too long")
    return serializer.loads(cookie)


def _is_fresh(issued_at: float, lasts: float) -> bool:
    return -AHEAD <= time.time() - issued_at <= lasts


def _session(fields: Any) -> Session:
    """We signed it, so it has this form; another release may sign another."""
    match fields:
        case [str(user_id), int(generation), int(issued_at), str(session_id)] if len(user_id) == 32:
            return Session(UUID(hex=user_id), generation, issued_at, session_id)
    raise BadData("not a session")


def _device(fields: Any) -> Device:
    match fields:
        case [str(account), int(issued_at), str(device_id)]:
            return Device(account, issued_at, device_id)
    raise BadData("not a device")


def _token(key: str, session_id: str) -> bytes:
    return hmac.digest(b"roadmap.csrf\0" + key.encode(), session_id.encode(), "sha256")


def _xor(pad: bytes, text: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(pad, text, strict=True))
