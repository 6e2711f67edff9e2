"""Content in PostgreSQL: one state row per (concept, kind), bodies apart and immutable."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from roadmap.database import Executor, Row
from roadmap.errors import Superseded
from roadmap.roadmaps.model import Kind

__all__ = [
    "Piece",
    "Place",
    "body_of",
    "claim_pieces",
    "create_pieces",
    "defer_pieces",
    "fail_piece",
    "find_body",
    "lock_failed",
    "lock_missing",
    "open_for",
    "release_run",
    "reopen_pieces",
    "save_piece",
]


@dataclass(frozen=True, slots=True)
class Piece:
    """One (concept, kind) that this process writes. Every write says `claim`; a late one is refused. `planned_at` is
    when it was first wanted, `max_cost_micros` the roadmap's budget (None: no limit)."""

    roadmap_id: UUID
    run_id: UUID
    concept_id: UUID
    kind: Kind
    claim: int
    failures: int
    crashes: int
    planned_at: datetime
    max_cost_micros: int | None = None


CREATE_PIECES = """
INSERT INTO content (roadmap_id, concept_id, kind, run_id, due_at)
SELECT $1, concept_id, kind, $2, now() + interval '10 seconds'
FROM unnest($3::uuid[]) AS c (concept_id), unnest($4::text[]) AS k (kind)
"""


async def create_pieces(
    tx: Executor, roadmap_id: UUID, run_id: UUID, concept_ids: Sequence[UUID], kinds: Sequence[Kind]
) -> None:
    """An open piece for each concept and kind."""
    await tx.execute(CREATE_PIECES, roadmap_id, run_id, list(concept_ids), [kind.value for kind in kinds])


# clock_timestamp(), because now() stands still while a statement waits for a lock.
CLAIM_PIECES = """
WITH free AS (
    SELECT content.roadmap_id, content.concept_id, content.kind, runs.planned_at, roadmaps.max_cost_micros
    FROM runs JOIN content ON content.run_id = runs.id JOIN roadmaps ON roadmaps.id = runs.roadmap_id
    WHERE runs.id = $1 AND runs.status = 'writing' AND content.concept_id = $2
      AND content.status IN ('pending', 'writing') AND content.due_at IS NOT NULL
      AND (content.claimed_by IS NULL OR content.due_at <= clock_timestamp())
      AND (content.not_before IS NULL OR content.not_before <= clock_timestamp())
      AND content.crashes + (content.claimed_by IS NOT NULL)::int < $5
    ORDER BY content.kind FOR NO KEY UPDATE OF content
)
UPDATE content SET
    status = 'writing', claim = claim + 1, claimed_by = $3, due_at = clock_timestamp() + make_interval(secs => $4),
    not_before = NULL, crashes = crashes + (claimed_by IS NOT NULL)::int, updated_at = now()
FROM free
WHERE content.roadmap_id = free.roadmap_id AND content.concept_id = free.concept_id AND content.kind = free.kind
RETURNING content.roadmap_id, run_id, content.concept_id, content.kind, claim, failures, crashes, planned_at,
    max_cost_micros
"""


async def claim_pieces(
    db: Executor, run_id: UUID, concept_id: UUID, worker: str, lease: float, crashes: int
) -> list[Piece]:
    """Takes every open piece of the concept whose time has come and that saw fewer `crashes`, for `lease` seconds by
    the database's clock. Empty: nothing to do."""
    rows = await db.fetch(CLAIM_PIECES, run_id, concept_id, worker, lease, crashes)
    return [_load(row) for row in rows]


SAVE_PIECE = """
WITH piece AS (
    UPDATE content SET status = 'ready', version = version + 1, claimed_by = NULL, due_at = NULL,
        error_code = NULL, error_message = NULL, updated_at = now()
    WHERE roadmap_id = $1 AND concept_id = $2 AND kind = $3 AND claim = $4 AND status = 'writing'
    RETURNING version
)
INSERT INTO content_versions (roadmap_id, concept_id, kind, version, run_id, body)
SELECT $1, $2, $3, version, $5, $6 FROM piece RETURNING version
"""


async def save_piece(tx: Executor, piece: Piece, body: dict[str, Any]) -> int:
    """Stores the body as the piece's next version and returns its number. Raises Superseded when the claim is lost."""
    key = (piece.roadmap_id, piece.concept_id, piece.kind.value)
    version = await tx.fetchval(SAVE_PIECE, *key, piece.claim, piece.run_id, body)
    if version is None:
        raise Superseded("the piece was taken over or its run ended")
    return int(version)


FAIL_PIECE = """
UPDATE content SET status = 'failed', claimed_by = NULL, due_at = NULL, failures = failures + 1,
    error_code = $5, error_message = $6, updated_at = now()
WHERE roadmap_id = $1 AND concept_id = $2 AND kind = $3 AND claim = $4 AND status = 'writing' RETURNING kind
"""


async def fail_piece(tx: Executor, piece: Piece, code: str, message: str) -> None:
    """Gives the piece up. Raises Superseded when the claim is lost."""
    key = (piece.roadmap_id, piece.concept_id, piece.kind.value)
    if await tx.fetchval(FAIL_PIECE, *key, piece.claim, code, message) is None:
        raise Superseded("the piece was taken over or its run ended")


DEFER_PIECES = """
WITH mine AS (
    SELECT content.kind FROM unnest($3::text[], $4::int[]) AS m (kind, claim)
    JOIN content ON content.roadmap_id = $1 AND content.concept_id = $2 AND content.kind = m.kind
    WHERE content.claim = m.claim AND content.status = 'writing'
    ORDER BY content.kind FOR NO KEY UPDATE OF content
)
UPDATE content SET status = 'pending', claimed_by = NULL, failures = failures + $6, updated_at = now(),
    due_at = now() + make_interval(secs => $5), not_before = now() + make_interval(secs => $5)
FROM mine WHERE roadmap_id = $1 AND concept_id = $2 AND content.kind = mine.kind
"""


async def defer_pieces(db: Executor, pieces: Sequence[Piece], retry_in: float, *, failed: bool) -> None:
    """Lets pieces of one concept go; the sweeper brings them back in `retry_in` seconds. `failed` costs each a try."""
    if not pieces:
        return
    kinds, claims = [piece.kind.value for piece in pieces], [piece.claim for piece in pieces]
    first = pieces[0]
    await db.execute(DEFER_PIECES, first.roadmap_id, first.concept_id, kinds, claims, retry_in, int(failed))


LOCK_OPEN_PIECES = """
SELECT FROM content WHERE run_id = $1 AND status IN ('pending', 'writing') ORDER BY concept_id, kind FOR NO KEY UPDATE
"""

RELEASE_RUN = """
UPDATE content SET status = 'pending', claim = claim + 1, claimed_by = NULL, due_at = NULL, updated_at = now()
WHERE run_id = $1 AND status IN ('pending', 'writing')
"""


async def release_run(tx: Executor, run_id: UUID) -> None:
    """Takes every open piece of a canceled run back: nobody writes it, nobody sweeps it."""
    await tx.fetch(LOCK_OPEN_PIECES, run_id)
    await tx.execute(RELEASE_RUN, run_id)


LOCK_MISSING = """
SELECT concept_id, kind FROM content WHERE roadmap_id = $1 AND status <> 'ready'
ORDER BY concept_id, kind FOR NO KEY UPDATE
"""


async def lock_missing(tx: Executor, roadmap_id: UUID) -> list[tuple[UUID, str]]:
    """Locks every piece that is not ready until the commit; a concept and a kind for each."""
    return [(row["concept_id"], row["kind"]) for row in await tx.fetch(LOCK_MISSING, roadmap_id)]


LOCK_FAILED = """
SELECT content.concept_id, content.kind FROM unnest($2::uuid[], $3::text[]) AS p (concept_id, kind)
JOIN content ON content.roadmap_id = $1 AND content.concept_id = p.concept_id AND content.kind = p.kind
WHERE content.status = 'failed' ORDER BY content.concept_id, content.kind FOR NO KEY UPDATE OF content
"""


async def lock_failed(tx: Executor, roadmap_id: UUID, pieces: Sequence[tuple[UUID, str]]) -> list[tuple[UUID, str]]:
    """Locks those of these pieces that have failed for good, and returns them."""
    rows = await tx.fetch(LOCK_FAILED, roadmap_id, *_columns(pieces))
    return [(row["concept_id"], row["kind"]) for row in rows]


# The claim rises: whoever wrote the piece before is refused.
REOPEN_PIECES = """
WITH opened AS (
    UPDATE content SET run_id = $2, status = 'pending', claim = claim + 1, claimed_by = NULL, failures = 0,
        crashes = 0, due_at = now() + interval '10 seconds', not_before = NULL, error_code = NULL,
        error_message = NULL, updated_at = now()
    FROM unnest($3::uuid[], $4::text[]) AS p (concept_id, kind)
    WHERE content.roadmap_id = $1 AND content.concept_id = p.concept_id AND content.kind = p.kind
      AND content.status <> 'ready'
    RETURNING content.concept_id, content.kind, content.claim
)
SELECT concept_id, string_agg(left(kind, 1) || claim, '' ORDER BY kind) AS claims
FROM opened GROUP BY concept_id ORDER BY concept_id
"""


async def reopen_pieces(
    tx: Executor, roadmap_id: UUID, run_id: UUID, pieces: Sequence[tuple[UUID, str]]
) -> list[tuple[UUID, str]]:
    """Gives locked pieces to a run, with all their tries. Returns the concepts, each with the claims of its pieces."""
    rows = await tx.fetch(REOPEN_PIECES, roadmap_id, run_id, *_columns(pieces))
    return [(row["concept_id"], row["claims"]) for row in rows]


def _columns(pieces: Sequence[tuple[UUID, str]]) -> tuple[list[UUID], list[str]]:
    return [concept_id for concept_id, _ in pieces], [kind for _, kind in pieces]


FIND_BODY = """
SELECT content.status, content.version AS latest, content.error_code, content.error_message,
       versions.version, versions.body, versions.created_at
FROM content JOIN roadmaps ON roadmaps.id = content.roadmap_id
LEFT JOIN content_versions AS versions
  ON versions.roadmap_id = content.roadmap_id AND versions.concept_id = content.concept_id
 AND versions.kind = content.kind AND versions.version = coalesce($5, content.version)
WHERE roadmaps.user_id = $1 AND roadmaps.deleted_at IS NULL
  AND content.roadmap_id = $2 AND content.concept_id = $3 AND content.kind = $4
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a piece of content lives, and whose it is."""

    user_id: UUID
    roadmap_id: UUID
    concept_id: UUID
    kind: Kind


async def find_body(db: Executor, place: Place, version: int | None) -> Row | None:
    """The piece's status and the body of `version` (None: the latest); None when this user has no such piece."""
    return await db.fetchrow(FIND_BODY, place.user_id, place.roadmap_id, place.concept_id, place.kind.value, version)


OPEN_FOR = """
SELECT greatest(1, extract(epoch FROM due_at - now()))::float FROM content
WHERE roadmap_id = $1 AND concept_id = $2 AND kind = $3 AND status IN ('pending', 'writing')
"""


async def open_for(db: Executor, roadmap_id: UUID, concept_id: UUID, kind: Kind) -> float | None:
    """Seconds until somebody next looks at this piece; None when it is ready, failed or was never asked for."""
    return await db.fetchval(OPEN_FOR, roadmap_id, concept_id, kind.value)  # type: ignore[no-any-return]


BODY_OF = """
SELECT body FROM content_versions WHERE roadmap_id = $1 AND concept_id = $2 AND kind = $3 ORDER BY version DESC LIMIT 1
"""


async def body_of(db: Executor, roadmap_id: UUID, concept_id: UUID, kind: Kind) -> dict[str, Any] | None:
    """The latest body, for a worker; None while there is none."""
    return await db.fetchval(BODY_OF, roadmap_id, concept_id, kind.value)  # type: ignore[no-any-return]


def _load(row: Row) -> Piece:
    fields = dict(row)
    return Piece(kind=Kind(fields.pop("kind")), **fields)
