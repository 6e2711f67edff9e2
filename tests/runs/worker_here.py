"""One content worker's tools inside this process, and runs for it: to be drafted, and with concepts to be written."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from roadmap.accounts.store import ensure_user
from roadmap.content import store as content
from roadmap.database import Database
from roadmap.execution_log.recorder import open_recorder
from roadmap.ids import Prefix, new_id, show_id
from roadmap.llm.client import Endpoint, open_provider
from roadmap.queue.client import open_queue
from roadmap.roadmaps import store as roadmaps
from roadmap.roadmaps.model import Concept, Kind, Module, Size, Stage, Structure, Wishes
from roadmap.runs import store as runs
from roadmap.runs.leases import open_leases
from roadmap.runs.service import Started, insert_roadmap
from roadmap.runs.tools import Tools

ANY = 1_000  # crashes
LEASE = 30.0


@asynccontextmanager
async def open_tools(db: Database, redis_url: str, endpoint: Endpoint, lease: float = LEASE) -> AsyncIterator[Tools]:
    async with (
        open_queue(redis_url) as queue,
        open_recorder(db, queue) as recorder,
        open_provider(endpoint) as provider,
        open_leases(db, queue, "w1", lease) as leases,
    ):
        yield Tools(db, queue, provider, recorder, leases)


@dataclass(frozen=True, slots=True)
class WritingRun:
    """A run with a plan; a piece of each kind is open for each concept."""

    db: Database
    started: Started
    concepts: tuple[UUID, ...]

    @property
    def id(self) -> UUID:
        return self.started.run_id

    @property
    def roadmap_id(self) -> UUID:
        return self.started.roadmap_id

    async def piece(self, kind: Kind = Kind.TUTORIAL, place: int = 0) -> dict[str, Any]:
        query = "SELECT *, due_at - clock_timestamp() AS due_in FROM content WHERE concept_id = $1 AND kind = $2"
        row = await self.db.fetchrow(query, self.concepts[place], kind.value)
        assert row is not None
        return dict(row)

    async def pieces(self) -> list[dict[str, Any]]:
        query = "SELECT * FROM content WHERE run_id = $1 ORDER BY concept_id, kind"
        return [dict(row) for row in await self.db.fetch(query, self.id)]

    async def statuses(self) -> set[str]:
        return {piece["status"] for piece in await self.pieces()}

    async def claim(self, place: int = 0, *, lease: float = LEASE, worker: str = "w2") -> list[content.Piece]:
        return await content.claim_pieces(self.db, self.id, self.concepts[place], worker, lease, ANY)

    async def pass_time(self) -> None:
        """As if the pauses between the tries were over."""
        await self.db.execute("UPDATE content SET not_before = NULL, due_at = now() WHERE status = 'pending'")


async def queued_run(db: Database) -> Started:
    user_id = await ensure_user(db, new_id(), f"{new_id().hex}@example.com")
    return await insert_roadmap(db, user_id, Wishes("Learn SQL", size=Size.SMALL))


async def writing_run(db: Database, count: int = 1, kinds: Sequence[Kind] = tuple(Kind)) -> WritingRun:
    started = await queued_run(db)
    concepts = tuple(new_id() for _ in range(count))
    async with db.transaction() as tx:
        claim = await runs.claim_draft(tx, started.run_id, "w0", LEASE, ANY)
        assert claim is not None
        await content.create_pieces(tx, started.roadmap_id, started.run_id, concepts, kinds)
        await roadmaps.add_version(tx, started.roadmap_id, _plan(concepts), {"level": "beginner"})
        await runs.start_writing(tx, claim)
    return WritingRun(db, started, concepts)


def title(place: int) -> str:
    """Of the concept at this place."""
    return f"Joins {place}"


def _plan(concept_ids: Sequence[UUID]) -> Structure:
    concepts = tuple(
        Concept(show_id(Prefix.CONCEPT, concept_id), f"c{place}", title(place), "Tables.", 60, (), ("Join",))
        for place, concept_id in enumerate(concept_ids)
    )
    return Structure("SQL", "S", (Stage("", "s", (Module("", "m", concepts),)),))


async def run_of(db: Database, run_id: UUID) -> dict[str, Any]:
    row = await db.fetchrow("SELECT *, due_at - clock_timestamp() AS due_in FROM runs WHERE id = $1", run_id)
    assert row is not None
    return dict(row)


async def pass_time(db: Database) -> None:
    """As if the pauses between the tries of every draft were over."""
    await db.execute("UPDATE runs SET not_before = NULL, due_at = now() WHERE status IN ('queued', 'drafting')")
