"""The audit log in PostgreSQL: written once, listed, forgotten after a year and a bit."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from roadmap.audit.model import Action, Actor, AuditRow, Entry
from roadmap.database import Executor
from roadmap.ids import new_id

__all__ = ["DAYS_KEPT", "Filters", "amend", "forget_old_entries", "insert", "insert_once_a_minute", "list_entries"]

DAYS_KEPT = 400
SUBJECT_LIMIT = 300  # characters

INSERT_ENTRY = """
INSERT INTO audit_log (id, user_id, actor, address, action, subject, details) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


async def insert(db: Executor, entry: Entry) -> UUID:
    """In the transaction of what it tells of, where there is one. Returns its id."""
    entry_id = new_id()
    await db.execute(INSERT_ENTRY, entry_id, *_columns(entry))
    return entry_id


AMEND_ENTRY = """
UPDATE audit_log SET details = $2 WHERE id = $1
"""


async def amend(db: Executor, entry_id: UUID, details: Mapping[str, Any]) -> None:
    """For what takes many transactions: its entry is there before the first of them, and learns how it ended."""
    await db.execute(AMEND_ENTRY, entry_id, dict(details))


# Its id is made of the minute and of what it tells: whoever comes later within that minute, on whichever replica,
# meets the same row.
INSERT_ONCE_A_MINUTE = """
INSERT INTO audit_log AS known (id, user_id, actor, address, action, subject, details)
VALUES ($1, $2, $3, $4, $5, $6, jsonb_build_object('times', 1) || $7::jsonb)
ON CONFLICT (id) DO UPDATE SET
    address = EXCLUDED.address,
    details = known.details || EXCLUDED.details
              || jsonb_build_object('times', 1 + COALESCE((known.details->>'times')::bigint, 1))
"""


async def insert_once_a_minute(db: Executor, entry: Entry) -> None:
    """For what strangers can cause: equal subjects share one row a minute, which counts them and tells of the last."""
    digest = hashlib.sha256(f"{entry.action}\0{entry.subject}".encode("utf-8", "replace")).digest()
    await db.execute(INSERT_ONCE_A_MINUTE, _id_of_this_minute(digest), *_columns(entry))


def _id_of_this_minute(digest: bytes) -> UUID:
    """A UUIDv7 as `new_id` makes it, its time cut down to the minute, its noise from the digest."""
    fresh = new_id().int
    milliseconds = fresh >> 80
    minute = milliseconds - milliseconds % 60_000
    noise = int.from_bytes(digest[:10])
    return UUID(int=minute << 80 | 0x7 << 76 | (noise >> 62 & 0xFFF) << 64 | 0b10 << 62 | noise & 0x3FFF_FFFF_FFFF_FFFF)


def _columns(entry: Entry) -> tuple[object, ...]:
    actor: Actor = entry.actor
    subject = entry.subject[:SUBJECT_LIMIT].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return actor.user_id, actor.name, actor.address, entry.action, subject, dict(entry.details)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries a list shows; `actor` and `subject` as they are stored."""

    action: Action | None = None
    actor: str | None = None
    subject: str | None = None


LIST_ENTRIES = """
SELECT id, at, user_id, actor, address, action, subject, details FROM audit_log
WHERE ($1::text IS NULL OR action = $1) AND ($2::text IS NULL OR actor = $2) AND ($3::text IS NULL OR subject = $3)
  AND ($4::uuid IS NULL OR id < $4)
ORDER BY id DESC LIMIT $5
"""


async def list_entries(db: Executor, filters: Filters, after: UUID | None, limit: int) -> list[AuditRow]:
    """Newest first; `after` is the last one of the page before."""
    rows = await db.fetch(LIST_ENTRIES, filters.action, filters.actor, filters.subject, after, limit)
    return [AuditRow(**{**row, "action": _action(row["action"])}) for row in rows]


def _action(text: str) -> Action | str:
    """While replicas are replaced, a newer one may write what this one has no word for."""
    try:
        return Action(text)
    except ValueError:
        return text


FORGET_OLD_ENTRIES = """
DELETE FROM audit_log WHERE at < now() - make_interval(days => $1)
"""


async def forget_old_entries(db: Executor, days: int) -> None:
    await db.execute(FORGET_OLD_ENTRIES, days)
