"""The claims that this process holds: extended by one statement each lease/3, and given up when they are lost.

A job works inside `hold`. When its claim is lost, or its run canceled, the job's task is cancelled and `hold` turns
that into Superseded; a CancelledError from elsewhere (shutdown) passes through.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from roadmap.content.store import Piece
from roadmap.database import Database
from roadmap.errors import Outage, Superseded
from roadmap.queue.client import Queue
from roadmap.queue.observer import Outcome
from roadmap.roadmaps.model import Kind

__all__ = ["CANCELED", "Hold", "Leases", "open_leases"]

# Pub/sub: the ids of runs that a person has canceled.
CANCELED = "canceled"

log = structlog.get_logger()


def _this_task() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  a coroutine that runs has a task
    return task


@dataclass(eq=False, slots=True)
class Hold:
    """The claims of the job that makes it. `draft` is the run's claim; `pieces` are (kind, claim) of one concept."""

    run_id: UUID
    task: "asyncio.Task[object]" = field(default_factory=_this_task, init=False)
    draft: int | None = None
    roadmap_id: UUID | None = None
    concept_id: UUID | None = None
    pieces: dict[Kind, int] = field(default_factory=dict)
    lost: str = ""
    outcome: Outcome = Outcome.SUCCEEDED

    def lose(self, reason: str) -> None:
        if not self.lost:
            self.lost = reason
            self.task.cancel()

    def ends(self, outcome: Outcome) -> None:
        """Part of the job ended so; the worst of its parts is how it ends itself."""
        if self.outcome is not Outcome.FAILED and outcome is not Outcome.SUCCEEDED:
            self.outcome = outcome

    def let_go(self, kind: Kind | None = None) -> None:
        """Stops extending a piece's lease (None: the draft's). Call it before the transaction that settles it: a
        heartbeat that saw the settled row would take it for a lost one."""
        if kind is None:
            self.draft = None
        else:
            self.pieces.pop(kind, None)


# clock_timestamp(), because now() stands still while a statement waits for a lock. The lock first, because an UPDATE
# that waits for one has computed its values before.
EXTEND_DRAFTS = """
WITH mine AS (
    SELECT runs.id FROM unnest($1::uuid[], $2::int[]) AS m (id, claim) JOIN runs ON runs.id = m.id
    WHERE runs.claim = m.claim AND runs.status = 'drafting' AND runs.claimed_by IS NOT NULL
    ORDER BY runs.id FOR NO KEY UPDATE OF runs
)
UPDATE runs SET due_at = clock_timestamp() + make_interval(secs => $3) FROM mine WHERE runs.id = mine.id
RETURNING runs.id
"""

EXTEND_PIECES = """
WITH mine AS (
    SELECT content.roadmap_id, content.concept_id, content.kind
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[]) AS m (roadmap_id, concept_id, kind, claim)
    JOIN content ON content.roadmap_id = m.roadmap_id AND content.concept_id = m.concept_id AND content.kind = m.kind
    WHERE content.claim = m.claim AND content.status = 'writing'
    ORDER BY content.roadmap_id, content.concept_id, content.kind FOR NO KEY UPDATE OF content
)
UPDATE content SET due_at = clock_timestamp() + make_interval(secs => $5) FROM mine
WHERE content.roadmap_id = mine.roadmap_id AND content.concept_id = mine.concept_id AND content.kind = mine.kind
RETURNING content.concept_id, content.kind
"""


class Leases:
    """Owns the holds of this process. Made by `open_leases`. `lease` in seconds."""

    def __init__(self, db: Database, worker: str, lease: float) -> None:
        self.worker = worker
        self.lease = lease
        self._db = db
        self._holds: set[Hold] = set()

    @contextmanager
    def hold(self, hold: Hold) -> Iterator[Hold]:
        """Keeps the claims alive while the block runs. Raises Superseded when they were lost meanwhile."""
        self._holds.add(hold)
        try:
            yield hold
        except asyncio.CancelledError:
            if not hold.lost or hold.task.uncancel() > 0:
                raise
            raise Superseded(hold.lost) from None
        finally:
            self._holds.discard(hold)

    def __len__(self) -> int:
        return len(self._holds)

    def cancel_run(self, run_id: UUID) -> None:
        for hold in tuple(self._holds):
            if hold.run_id == run_id:
                hold.lose("the run was canceled")

    async def extend(self, piece: Piece) -> None:
        """Of a piece that was let go, and could not be settled yet. Does nothing where its claim is lost."""
        claim = ([piece.roadmap_id], [piece.concept_id], [piece.kind.value], [piece.claim])
        with suppress(Outage):
            await self._db.fetch(EXTEND_PIECES, *claim, self.lease)

    async def keep(self) -> None:
        """Extends every lease each third of its length, for ever; after an outage as soon as it can."""
        pause = self.lease / 3
        while True:
            await asyncio.sleep(pause)
            pause = self.lease / 3 if await self._extend() else self.lease / 10

    async def _extend(self) -> bool:
        try:
            await self._extend_drafts([hold for hold in self._holds if hold.draft is not None])
            await self._extend_pieces([hold for hold in self._holds if hold.pieces])
        except Outage as exc:
            log.warning("leases_not_extended", held=len(self._holds), error=str(exc))
            return False
        return True

    async def _extend_drafts(self, holds: Sequence[Hold]) -> None:
        if not holds:
            return
        rows = await self._db.fetch(EXTEND_DRAFTS, [h.run_id for h in holds], [h.draft for h in holds], self.lease)
        kept = {row["id"] for row in rows}
        for hold in holds:
            # Asked now and not before the statement: a draft that was let go while it ran is not lost.
            if hold in self._holds and hold.draft is not None and hold.run_id not in kept:
                hold.lose("the run was taken over or ended")

    async def _extend_pieces(self, holds: Sequence[Hold]) -> None:
        claims = [(h.roadmap_id, h.concept_id, kind.value, claim) for h in holds for kind, claim in h.pieces.items()]
        if not claims:
            return
        rows = await self._db.fetch(EXTEND_PIECES, *map(list, zip(*claims, strict=True)), self.lease)
        kept = {(row["concept_id"], Kind(row["kind"])) for row in rows}
        for hold in holds:
            if hold in self._holds and any((hold.concept_id, kind) not in kept for kind in hold.pieces):
                hold.lose("the piece was taken over or its run ended")


async def _follow_cancellations(queue: Queue, leases: Leases) -> None:
    """Ends the jobs of canceled runs at once. A lost message costs little: no call is begun for a canceled run."""
    async for message in queue.listen(CANCELED):
        if message is None:
            continue
        try:
            leases.cancel_run(UUID(hex=message))
        except ValueError:
            log.warning("message_not_understood", channel=CANCELED)


@asynccontextmanager
async def open_leases(db: Database, queue: Queue, worker: str, lease: float) -> AsyncIterator[Leases]:
    """`worker` names this process in `claimed_by`. The death of the heartbeat ends the process: it must not work on."""
    # Jobs that wait for a lock hold their connections: others' leases must not run out over that.
    leases = Leases(db.urgent, worker, lease)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in (leases.keep(), _follow_cancellations(queue, leases))]
        try:
            yield leases
        finally:
            for task in tasks:
                task.cancel()
