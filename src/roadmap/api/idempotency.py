"""Idempotency-Key: the key, its effect and its answer commit together, so a repeated request has one effect.

Scope: caller, method and path. The same key and body replays the first answer, another body is refused. A concurrent
duplicate waits on the row's unique index until the first has committed.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from roadmap.api.answers import JSONAnswer
from roadmap.api.operation import Call
from roadmap.database import Connection, Database, Executor
from roadmap.errors import Conflict, Fault, Invalid

__all__ = ["KEY", "InFlight", "forget_old_keys", "once"]

KEY = re.compile(r"[!-~]{1,255}")

# A duplicate waits this long for the first request's commit.
WAIT = "SET LOCAL lock_timeout = '2s'"

TAKE_KEY = """
INSERT INTO idempotency_keys (user_id, scope, key, fingerprint, answer) VALUES ($1, $2, $3, $4, 'null')
ON CONFLICT DO NOTHING RETURNING key
"""

FIND_KEY = """
SELECT fingerprint, answer FROM idempotency_keys WHERE user_id = $1 AND scope = $2 AND key = $3
"""

KEEP_ANSWER = """
UPDATE idempotency_keys SET answer = $4 WHERE user_id = $1 AND scope = $2 AND key = $3
"""


class InFlight(Conflict):
    code = "idempotency_in_flight"
    retry_in = 1


class Mismatch(Invalid):
    def __init__(self) -> None:
        fault = Fault("Idempotency-Key", "idempotency_mismatch", "use a new key for a new request")
        super().__init__("this key came with a different request before", [fault], code="idempotency_mismatch")


@dataclass(frozen=True, slots=True)
class _Key:
    user_id: UUID
    scope: str
    key: str
    fingerprint: bytes

    @property
    def name(self) -> tuple[UUID, str, str]:
        return self.user_id, self.scope, self.key


Effect = Callable[[Executor], Awaitable[dict[str, Any]]]


async def once(db: Database, call: Call[Any, Any], effect: Effect) -> tuple[dict[str, Any], bool]:
    """The effect's answer, and whether it is a replay. `effect` gets an executor and must do nothing but SQL.

    Raises Invalid for a bad key or another body, InFlight when the first request still runs after 2 s.
    """
    key = _read_key(call)
    if key is None:
        async with db.transaction() as tx:
            return await effect(tx), False
    async with db.transaction() as tx:
        if not await _take(tx, key):
            return await _replay(tx, key), True
        answer = await effect(tx)
        await tx.execute(KEEP_ANSWER, *key.name, answer)
    return answer, False


def mark_replay(answer: JSONAnswer, *, replayed: bool) -> JSONAnswer:
    if replayed:
        answer.headers["Idempotency-Replayed"] = "true"
    return answer


def _read_key(call: Call[Any, Any]) -> _Key | None:
    text = call.request.headers.get("idempotency-key")
    if text is None:
        return None
    if not KEY.fullmatch(text):
        fault = Fault("Idempotency-Key", "invalid_key", "use 1 to 255 visible ASCII characters, such as a UUID")
        raise Invalid("the Idempotency-Key cannot be used", [fault])
    scope = f"{call.request.method} {call.request.scope['path']}"
    return _Key(call.user_id, scope, text, hashlib.sha256(call.raw).digest())


async def _take(tx: Connection, key: _Key) -> bool:
    await tx.execute(WAIT)
    try:
        return await tx.fetchval(TAKE_KEY, *key.name, key.fingerprint) is not None
    except asyncpg.LockNotAvailableError as exc:
        raise InFlight("the first request with this key has not finished; try again") from exc


async def _replay(tx: Connection, key: _Key) -> dict[str, Any]:
    row = await tx.fetchrow(FIND_KEY, *key.name)
    if row is None or row["fingerprint"] != key.fingerprint:
        raise Mismatch
    answer: dict[str, Any] = row["answer"]
    return answer


FORGET_OLD_KEYS = """
DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
"""


async def forget_old_keys(db: Database) -> None:
    """Keys are kept for 24 hours."""
    await db.execute(FORGET_OLD_KEYS)
