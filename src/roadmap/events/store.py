"""Events in PostgreSQL, the only place where they are true."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from roadmap.database import Executor
from roadmap.events.model import Event, Notice

__all__ = ["Stream", "append", "find_stream", "last_seqs", "read_after"]

APPEND = """
WITH counter AS (
    UPDATE roadmaps SET event_seq = event_seq + cardinality($2::text[]), updated_at = now()
    WHERE id = $1 RETURNING event_seq - cardinality($2::text[]) AS before
)
INSERT INTO events (roadmap_id, seq, type, payload)
SELECT $1, before + n, type, payload
FROM counter, unnest($2::text[], $3::jsonb[]) WITH ORDINALITY AS notice (type, payload, n)
"""


async def append(tx: Executor, roadmap_id: UUID, notices: Sequence[Notice]) -> None:
    """Adds events to a roadmap's sequence. Must be the last statement of the change's transaction: it locks the
    roadmap's counter until the commit, so that nobody ever sees a gap (lock order: content, run, roadmap)."""
    types = [notice.type.value for notice in notices]
    payloads = [notice.payload.model_dump(exclude_none=True) for notice in notices]
    await tx.execute(APPEND, roadmap_id, types, payloads)


READ_AFTER = """
SELECT seq, type, payload, at FROM events WHERE roadmap_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
"""


async def read_after(db: Executor, roadmap_id: UUID, seq: int, limit: int) -> list[Event]:
    """At most `limit` events that follow `seq`, in order."""
    rows = await db.fetch(READ_AFTER, roadmap_id, seq, limit)
    return [Event(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class Stream:
    """A roadmap's events: the last number, and whether a run is adding to them."""

    last_seq: int
    active: bool


FIND_STREAM = """
SELECT event_seq AS last_seq, finished_at IS NULL AS active FROM roadmaps JOIN runs ON runs.id = latest_run_id
WHERE roadmaps.id = $1 AND roadmaps.user_id = $2 AND deleted_at IS NULL
"""


async def find_stream(db: Executor, user_id: UUID, roadmap_id: UUID) -> Stream | None:
    """The stream, when the roadmap is this user's."""
    row = await db.fetchrow(FIND_STREAM, roadmap_id, user_id)
    return Stream(**row) if row else None


LAST_SEQS = """
SELECT id, event_seq FROM roadmaps WHERE id = ANY($1::uuid[])
"""


async def last_seqs(db: Executor, roadmap_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The last event's number of each roadmap."""
    rows = await db.fetch(LAST_SEQS, list(roadmap_ids))
    return {row["id"]: row["event_seq"] for row in rows}
