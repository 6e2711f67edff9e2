"""Durable steps: ordinary Python whose outputs are committed, so that a rerun resumes and the model is paid once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel

from roadmap.database import Executor
from roadmap.events import store as events
from roadmap.events.hub import announce
from roadmap.events.model import EventType, Notice, StepDone
from roadmap.execution_log.model import Category
from roadmap.execution_log.recorder import scope
from roadmap.ids import Prefix, show_id
from roadmap.llm.ask import Llm
from roadmap.llm.budget import Budget
from roadmap.llm.ledger import RunLedger, settle, settle_on_the_way_out
from roadmap.runs import store
from roadmap.runs.model import DraftClaim
from roadmap.runs.persist import persist
from roadmap.runs.tools import Tools

__all__ = ["Steps"]

T = TypeVar("T", bound=BaseModel)


class Steps:
    """The steps of one run under one claim."""

    def __init__(self, tools: Tools, claim: DraftClaim, committed: dict[str, Any]) -> None:
        self._tools = tools
        self._claim = claim
        self._committed = committed

    @classmethod
    async def resume(cls, tools: Tools, claim: DraftClaim) -> "Steps":
        return cls(tools, claim, await outputs_of(tools.db, claim.run_id))

    async def __call__(self, key: str, output: type[T], work: Callable[[Llm], Awaitable[T]]) -> T:
        """Runs `work` and commits its output with its ledger rows and event; a committed step returns what it has.

        Raises what `work` raises, after its calls were settled, and Superseded when the claim is lost.
        """
        if key in self._committed:
            return output.model_validate(self._committed[key])
        budget = Budget(self._claim.max_cost_micros, self._tools.learner_daily_micros)
        ledger = RunLedger(self._tools.db, self._claim.run_id, self._claim.claim, budget=budget)
        llm = Llm(self._tools.provider, ledger)
        started = time.monotonic()
        with scope(step=key):
            try:
                answer = await work(llm)
                duration_ms = round((time.monotonic() - started) * 1000)
                await persist(lambda: self._commit(key, answer, llm, duration_ms))
            except Exception:
                await settle(self._tools.db, llm.spent)
                raise
            except asyncio.CancelledError:
                await settle_on_the_way_out(self._tools.db, llm.spent)
                raise
            await announce(self._tools.queue, self._claim.roadmap_id)
            self._tools.recorder.note(Category.STEP, f"step {key} done", duration_ms=duration_ms, calls=len(llm.spent))
        return answer

    async def _commit(self, key: str, answer: BaseModel, llm: Llm, duration_ms: int) -> None:
        run_id = self._claim.run_id
        told = StepDone(run_id=show_id(Prefix.RUN, run_id), step=key, duration_ms=duration_ms)
        async with self._tools.db.transaction() as tx:
            await store.lock_draft(tx, self._claim)
            if not await insert_step(tx, run_id, key, answer.model_dump(mode="json"), duration_ms):
                return  # committed before; only the answer was lost
            await settle(tx, llm.spent)
            await events.append(tx, self._claim.roadmap_id, [Notice(EventType.RUN_STEP, told)])


OUTPUTS_OF = """
SELECT key, output FROM run_steps WHERE run_id = $1
"""


async def outputs_of(db: Executor, run_id: UUID) -> dict[str, Any]:
    """What the run's steps have committed, by key."""
    return {row["key"]: row["output"] for row in await db.fetch(OUTPUTS_OF, run_id)}


INSERT_STEP = """
INSERT INTO run_steps (run_id, key, output, duration_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING key
"""


async def insert_step(tx: Executor, run_id: UUID, key: str, output: dict[str, Any], duration_ms: int) -> bool:
    """False: the step has committed before."""
    return await tx.fetchval(INSERT_STEP, run_id, key, output, duration_ms) is not None
