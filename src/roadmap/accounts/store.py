"""Users and keys in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from roadmap.database import Executor

__all__ = ["Caller", "KeyRow", "ensure_user", "find_caller", "insert_key"]

# The update that changes nothing makes RETURNING answer for a user who is there already.
ENSURE_USER = """
INSERT INTO users (id, email) VALUES ($1, $2)
ON CONFLICT (lower(email)) DO UPDATE SET email = users.email RETURNING id
"""


async def ensure_user(db: Executor, new_id: UUID, email: str) -> UUID:
    """The id of the user with this address, created as `new_id` when there is none."""
    user_id: UUID = await db.fetchval(ENSURE_USER, new_id, email)
    return user_id


@dataclass(frozen=True, slots=True)
class KeyRow:
    id: UUID
    user_id: UUID
    name: str
    sha256: bytes
    expires_at: datetime | None
    operator: bool = False


INSERT_KEY = """
INSERT INTO api_keys (id, user_id, name, sha256, expires_at, operator) VALUES ($1, $2, $3, $4, $5, $6)
"""


async def insert_key(db: Executor, key: KeyRow) -> None:
    await db.execute(INSERT_KEY, key.id, key.user_id, key.name, key.sha256, key.expires_at, key.operator)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. An operator sees the service as a whole; others' roadmaps stay theirs."""

    user_id: UUID
    operator: bool


# The last use is written at most once a minute, and only of a key that is good.
FIND_CALLER = """
WITH found AS (
    SELECT id, user_id, operator, last_used_at FROM api_keys
    WHERE sha256 = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
), used AS (
    UPDATE api_keys SET last_used_at = now() FROM found
    WHERE api_keys.id = found.id AND (found.last_used_at IS NULL OR found.last_used_at < now() - interval '1 minute')
)
SELECT user_id, operator FROM found
"""


async def find_caller(db: Executor, sha256: bytes) -> Caller | None:
    row = await db.fetchrow(FIND_CALLER, sha256)
    return Caller(**row) if row else None
