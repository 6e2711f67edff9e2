"""Learners, roadmaps, runs and pieces as rows, for the ledger to count what they cost."""

from dataclasses import dataclass
from uuid import UUID

from roadmap.database import Database
from roadmap.ids import new_id
from roadmap.llm.budget import NO_BUDGET, Budget, Weighed, spent_on_roadmap
from roadmap.llm.ledger import RunLedger, settle
from roadmap.llm.model import CallStatus, PlannedCall, Spent

MOST = 100

ADD_ROADMAP = """
INSERT INTO roadmaps (id, user_id, goal, preferences, latest_run_id) VALUES ($1, $2, 'SQL', '{}', $3)
"""
ADD_RUN = """
INSERT INTO runs (id, roadmap_id, user_id, kind, status, claim, claimed_by, finished_at)
VALUES ($1, $2, $3, 'create', $4, 1, 'w1', CASE WHEN $4 IN ('writing', 'drafting') THEN NULL ELSE now() END)
"""
ADD_PIECE = """
INSERT INTO content (roadmap_id, concept_id, kind, run_id, status, claim) VALUES ($1, $2, 'quiz', $3, 'writing', 1)
"""


def planned(most: int = MOST) -> PlannedCall:
    return PlannedCall("quiz", "offline", "small", "0" * 64, 0, most)


def cost(call_id: UUID, micros: int) -> Spent:
    return Spent(call_id, 1, 1, micros, 900, "stop", CallStatus.OK, None)


@dataclass(frozen=True, slots=True)
class Work:
    """A piece, or a draft, that is being worked on under claim 1."""

    db: Database
    run_id: UUID
    concept_id: UUID | None

    def ledger(self, budget: Budget = NO_BUDGET, *, claim: int = 1, db: Database | None = None) -> RunLedger:
        kind = "quiz" if self.concept_id else None
        return RunLedger(db or self.db, self.run_id, claim, self.concept_id, kind, budget)

    async def reserve(self, most: int = MOST) -> UUID:
        """An open call, asked for without a budget."""
        return await self.ledger().reserve(planned(most))

    async def spend(self, micros: int) -> UUID:
        """A settled call."""
        call_id = await self.reserve()
        await settle(self.db, [cost(call_id, micros)])
        return call_id

    async def weighed(self) -> Weighed:
        return await spent_on_roadmap(self.db, self.run_id)


@dataclass(frozen=True, slots=True)
class Learner:
    db: Database
    id: UUID

    async def roadmap(self) -> UUID:
        """With a run that has ended."""
        roadmap_id, run_id = new_id(), new_id()
        async with self.db.transaction() as tx:
            await tx.execute(ADD_ROADMAP, roadmap_id, self.id, run_id)
            await tx.execute(ADD_RUN, run_id, roadmap_id, self.id, "succeeded")
        return roadmap_id

    async def draft(self) -> Work:
        run_id = new_id()
        await self.db.execute(ADD_RUN, run_id, await self.roadmap(), self.id, "drafting")
        return Work(self.db, run_id, None)

    async def pieces(self, count: int, roadmap_id: UUID | None = None) -> list[Work]:
        """Of one run that writes; of a new roadmap when none is named."""
        run_id, roadmap_id = new_id(), roadmap_id or await self.roadmap()
        await self.db.execute(ADD_RUN, run_id, roadmap_id, self.id, "writing")
        work = [Work(self.db, run_id, new_id()) for _ in range(count)]
        for piece in work:
            await self.db.execute(ADD_PIECE, roadmap_id, piece.concept_id, run_id)
        return work


async def add_learner(db: Database) -> Learner:
    learner = Learner(db, new_id())
    await db.execute("INSERT INTO users (id, email) VALUES ($1, $2)", learner.id, f"{learner.id.hex}@example.org")
    return learner
