"""Users and keys in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from roadmap.accounts.model import Account, KeyLine, Role
from roadmap.database import Executor, Row

__all__ = [
    "Caller",
    "KeyRow",
    "ensure_user",
    "find_account",
    "find_account_by_id",
    "find_caller",
    "has_operator",
    "insert_account",
    "insert_key",
    "list_accounts",
    "list_keys",
    "raise_generation",
    "replace_hash",
    "revoke_key",
    "revoke_operator_keys",
    "set_password",
    "set_role",
]

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
    """Who asks, and its `name` for people. An operator sees the service as a whole; others' roadmaps stay theirs."""

    user_id: UUID
    operator: bool
    name: str


# The last use is written at most once a minute, and only of a key that is good.
FIND_CALLER = """
WITH found AS (
    SELECT api_keys.id, user_id, operator, last_used_at, 'key of ' || email AS name
    FROM api_keys JOIN users ON users.id = user_id
    WHERE sha256 = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
), used AS (
    UPDATE api_keys SET last_used_at = now() FROM found
    WHERE api_keys.id = found.id AND (found.last_used_at IS NULL OR found.last_used_at < now() - interval '1 minute')
)
SELECT user_id, operator, name FROM found
"""


async def find_caller(db: Executor, sha256: bytes) -> Caller | None:
    row = await db.fetchrow(FIND_CALLER, sha256)
    return Caller(**row) if row else None


LIST_KEYS = """
SELECT api_keys.id, email, name, operator, api_keys.created_at, expires_at, last_used_at, revoked_at
FROM api_keys JOIN users ON users.id = user_id
WHERE $1::text IS NULL OR lower(email) = lower($1) ORDER BY api_keys.id DESC LIMIT $2
"""


async def list_keys(db: Executor, email: str | None, limit: int) -> list[KeyLine]:
    """Newest first; `email` for one user's."""
    return [KeyLine(**row) for row in await db.fetch(LIST_KEYS, email, limit)]


REVOKE_KEY = """
UPDATE api_keys SET revoked_at = now() FROM users
WHERE api_keys.id = $1 AND revoked_at IS NULL AND users.id = user_id RETURNING email
"""


async def revoke_key(db: Executor, key_id: UUID) -> str | None:
    """Whose it was; None when there is no such key, or it was revoked before."""
    email: str | None = await db.fetchval(REVOKE_KEY, key_id)
    return email


REVOKE_OPERATOR_KEYS = """
UPDATE api_keys SET revoked_at = now() WHERE user_id = $1 AND operator AND revoked_at IS NULL RETURNING id
"""


async def revoke_operator_keys(tx: Executor, user_id: UUID) -> list[UUID]:
    """Which they were."""
    return [row["id"] for row in await tx.fetch(REVOKE_OPERATOR_KEYS, user_id)]


_ACCOUNT = "id AS user_id, email, role, password_hash, session_generation AS generation, created_at"

FIND_ACCOUNT = f"""
SELECT {_ACCOUNT} FROM users WHERE lower(email) = lower($1)
"""  # noqa: S608  a constant list of columns


async def find_account(db: Executor, email: str) -> Account | None:
    return _load(await db.fetchrow(FIND_ACCOUNT, email))


FIND_ACCOUNT_BY_ID = f"""
SELECT {_ACCOUNT} FROM users WHERE id = $1
"""  # noqa: S608  a constant list of columns


async def find_account_by_id(db: Executor, user_id: UUID) -> Account | None:
    return _load(await db.fetchrow(FIND_ACCOUNT_BY_ID, user_id))


LIST_ACCOUNTS = f"""
SELECT {_ACCOUNT} FROM users WHERE role <> 'learner' OR password_hash IS NOT NULL ORDER BY lower(email) LIMIT $1
"""  # noqa: S608  a constant list of columns


async def list_accounts(db: Executor, limit: int) -> list[Account]:
    """Who may sign in, or once could."""
    return [account for row in await db.fetch(LIST_ACCOUNTS, limit) if (account := _load(row))]


HAS_OPERATOR = """
SELECT EXISTS (SELECT FROM users WHERE role = 'operator' AND password_hash IS NOT NULL)
"""


async def has_operator(db: Executor) -> bool:
    return bool(await db.fetchval(HAS_OPERATOR))


# A learner, who has no password, becomes an account; an account that is there stays as it is.
INSERT_ACCOUNT = """
INSERT INTO users (id, email, role, password_hash) VALUES ($1, $2, $3, $4)
ON CONFLICT (lower(email)) DO UPDATE SET role = EXCLUDED.role, password_hash = EXCLUDED.password_hash
WHERE users.password_hash IS NULL AND users.role = 'learner'
RETURNING id
"""


async def insert_account(tx: Executor, new_id: UUID, email: str, role: Role, password_hash: str) -> UUID | None:
    """The account's id; None when there is one of this address."""
    user_id: UUID | None = await tx.fetchval(INSERT_ACCOUNT, new_id, email, role, password_hash)
    return user_id


SET_PASSWORD = """
UPDATE users SET password_hash = $2, session_generation = session_generation + 1
WHERE lower(email) = lower($1) AND (role <> 'learner' OR password_hash IS NOT NULL) RETURNING id
"""  # noqa: S105  a statement


async def set_password(tx: Executor, email: str, password_hash: str) -> UUID | None:
    """Ends the account's sessions. None when nobody of this address may sign in, or once could."""
    user_id: UUID | None = await tx.fetchval(SET_PASSWORD, email, password_hash)
    return user_id


SET_ROLE = """
UPDATE users SET role = $2, session_generation = session_generation + 1 WHERE lower(email) = lower($1)
RETURNING id, password_hash IS NOT NULL AS has_password
"""


async def set_role(tx: Executor, email: str, role: Role) -> Row | None:
    """Ends the account's sessions. None when there is no user of this address."""
    return await tx.fetchrow(SET_ROLE, email, role)


RAISE_GENERATION = """
UPDATE users SET session_generation = session_generation + 1 WHERE id = $1
"""


async def raise_generation(tx: Executor, user_id: UUID) -> None:
    """Ends all sessions of the account."""
    await tx.execute(RAISE_GENERATION, user_id)


REPLACE_HASH = """
UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2
"""


async def replace_hash(db: Executor, user_id: UUID, old: str, new: str) -> None:
    """The same password under today's parameters, unless another was set meanwhile. Sessions go on."""
    await db.execute(REPLACE_HASH, user_id, old, new)


def _load(row: Row | None) -> Account | None:
    return Account(**{**row, "role": Role(row["role"])}) if row else None
