"""A run in PostgreSQL with open pieces, and a ledger in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from roadmap.accounts.store import ensure_user
from roadmap.content import store as content
from roadmap.content.store import Piece
from roadmap.database import Database
from roadmap.ids import new_id
from roadmap.llm.model import PlannedCall, Spent
from roadmap.roadmaps.model import Kind, Wishes
from roadmap.runs import store as runs
from roadmap.runs.model import DraftClaim
from roadmap.runs.service import insert_roadmap

ANY = 1_000  # crashes
LEASE = 30.0


class Notebook:
    """A ledger in memory: a row before each call."""

    def __init__(self) -> None:
        self.rows: dict[UUID, PlannedCall] = {}
        self.run_id = new_id()

    async def reserve(self, call: PlannedCall, _finished: Sequence[Spent] = ()) -> UUID:
        call_id = new_id()
        self.rows[call_id] = call
        return call_id


@dataclass(frozen=True)
class OpenRun:
    """A run that writes: one concept, with a piece of each kind still open."""

    db: Database
    user_id: UUID
    roadmap_id: UUID
    run_id: UUID
    concept_id: UUID

    async def claim(self, worker: str = "w1", lease: float = LEASE, crashes: int = ANY) -> list[Piece]:
        return await content.claim_pieces(self.db, self.run_id, self.concept_id, worker, lease, crashes)

    async def claim_draft(self, worker: str, lease: float = LEASE, crashes: int = ANY) -> DraftClaim | None:
        return await runs.claim_draft(self.db, self.run_id, worker, lease, crashes)

    async def back_to_queued(self) -> None:
        """As before its plan."""
        await self.db.execute("UPDATE runs SET status = 'queued', claimed_by = NULL WHERE id = $1", self.run_id)

    async def row(self, kind: Kind = Kind.TUTORIAL) -> dict[str, Any]:
        query = "SELECT *, due_at - now() AS due_in FROM content WHERE run_id = $1 AND kind = $2"
        found = await self.db.fetchrow(query, self.run_id, kind.value)
        assert found is not None
        return dict(found)


async def open_run(db: Database, kinds: tuple[Kind, ...] = tuple(Kind)) -> OpenRun:
    user_id = await ensure_user(db, new_id(), f"{new_id().hex}@example.com")
    started = await insert_roadmap(db, user_id, Wishes("Learn SQL"))
    concept_id = new_id()
    async with db.transaction() as tx:
        claim = await runs.claim_draft(tx, started.run_id, "w0", LEASE, ANY)
        assert claim is not None
        await content.create_pieces(tx, started.roadmap_id, started.run_id, [concept_id], kinds)
        await runs.start_writing(tx, claim)
    return OpenRun(db, user_id, started.roadmap_id, started.run_id, concept_id)
