"""The ledger in PostgreSQL: a row before each call, which also asks whether the work is still wanted, and its end.

Where a budget is set the row waits for its turn: the calls of one learner are weighed one after another (budget.py).
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from roadmap.database import Database, Executor
from roadmap.errors import Outage, Superseded
from roadmap.ids import new_id
from roadmap.llm.budget import NO_BUDGET, Budget, check
from roadmap.llm.model import PlannedCall, Spent

__all__ = ["RunLedger", "settle", "settle_on_the_way_out"]

# The row is also a fence: who has lost the claim, or whose run is over, begins no call.
RESERVE = """
    INSERT INTO model_calls (id, run_id, concept_id, kind, claim, purpose, provider, model, prompt_hash, round,
                             reserved_micros, user_id, status)
    SELECT $2::uuid, runs.id, $3::uuid, $4::text, $5::integer, $6::text, $7::text, $8::text, $9::text, $10::smallint,
           $11::bigint, runs.user_id, 'open'
      FROM runs
     WHERE runs.id = $1 AND CASE WHEN $3::uuid IS NULL THEN runs.status = 'drafting' AND runs.claim = $5
           ELSE runs.status = 'writing' AND EXISTS (
               SELECT FROM content
                WHERE content.roadmap_id = runs.roadmap_id AND content.concept_id = $3 AND content.kind = $4
                  AND content.claim = $5 AND content.status = 'writing'
           ) END
    RETURNING id
"""


@dataclass(frozen=True, slots=True)
class RunLedger:
    """The ledger of one claim of one piece of work; `concept_id` and `kind` are None while a run is drafted."""

    db: Database
    run_id: UUID
    claim: int
    concept_id: UUID | None = None
    kind: str | None = None
    budget: Budget = NO_BUDGET

    async def reserve(self, call: PlannedCall, finished: Sequence[Spent] = ()) -> UUID:
        """Raises Superseded when the claim was lost or the run is over, BudgetExceeded when there is nothing left to
        spend, NotYet when that depends on calls under way, Outage when PostgreSQL is away."""
        if self.budget == NO_BUDGET or not call.most_micros:
            return await self._write(self.db, call)
        # What the earlier rounds really cost is known by now: their reservations must not be in the way of this one.
        await settle(self.db, finished)
        async with self.db.transaction() as tx:
            await check(tx, self.run_id, self.budget)
            return await self._write(tx, call)

    async def _write(self, db: Executor, call: PlannedCall) -> UUID:
        place = (self.run_id, new_id(), self.concept_id, self.kind, self.claim)
        planned = (call.purpose, call.provider, call.model, call.prompt_hash, call.round, call.most_micros)
        call_id: UUID | None = await db.fetchval(RESERVE, *place, *planned)
        if call_id is None:
            raise Superseded("the claim was lost, or the run is over")
        return call_id


SETTLE = """
    UPDATE model_calls
       SET status = spent.outcome, input_tokens = spent.input_tokens, output_tokens = spent.output_tokens,
           cost_micros = spent.cost_micros, latency_ms = spent.latency_ms, finish_reason = spent.finish_reason,
           error = spent.error, settled_at = now()
      FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::integer[], $5::bigint[], $6::integer[], $7::text[],
                  $8::text[])
        AS spent (call_id, outcome, input_tokens, output_tokens, cost_micros, latency_ms, finish_reason, error)
     WHERE model_calls.id = spent.call_id AND model_calls.status = 'open'
"""


async def settle(tx: Executor, spent: Sequence[Spent]) -> None:
    """Closes the rows of finished calls. A row that is closed stays as it is, so settling twice is settling once."""
    if not spent:
        return
    await tx.execute(
        SETTLE,
        [call.call_id for call in spent],
        [call.outcome.value for call in spent],
        [call.input_tokens for call in spent],
        [call.output_tokens for call in spent],
        [call.cost_micros for call in spent],
        [call.latency_ms for call in spent],
        [call.finish_reason for call in spent],
        [call.error for call in spent],
    )


async def settle_on_the_way_out(db: Database, spent: Sequence[Spent]) -> None:
    """For work that is being canceled: its finished calls are known, and their rows must not look cut off."""
    if spent:
        with suppress(Outage):  # then they count at their most
            await asyncio.shield(settle(db, spent))
