"""Budgets: of a roadmap over all its runs, and of a learner over a day in UTC. Never exceeded by more than one call.

A call is begun while what is spent, and what the calls under way may cost at most, is below the limit: the last one
alone can lead above it. What a call counts is told by the view `call_costs`.
"""

import random
from dataclasses import dataclass
from uuid import UUID

from roadmap.database import Connection, Executor, Row
from roadmap.errors import BudgetExceeded, NotYet, Superseded

__all__ = ["NO_BUDGET", "Budget", "Weighed", "check", "spent_on_roadmap", "spent_today"]

# Work that waits for its turn comes back so often in a second, all pieces of a run together.
_LOOKS = 20
_LEAST_PAUSE, _MOST_PAUSE = 1.0, 15.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits in micro-dollars. None or 0: no limit."""

    roadmap: int | None = None
    learner_day: int | None = None


NO_BUDGET = Budget()


@dataclass(frozen=True, slots=True)
class Weighed:
    """Micro-dollars: `spent` for good, and `held` for calls under way at their most."""

    spent: int
    held: int


# The calls of one learner are weighed one after another: each sees what those before it have reserved.
# NO KEY: the foreign keys of new rows hold a share of the user's key. This transaction locks nothing else that is
# anybody's but its own.
LOCK_LEARNER = """
SELECT users.id FROM users JOIN runs ON runs.user_id = users.id WHERE runs.id = $1 FOR NO KEY UPDATE OF users
"""


async def check(tx: Connection, run_id: UUID, budget: Budget) -> None:
    """Raises BudgetExceeded, or NotYet when it depends on the calls under way. Until the commit nobody else of this
    learner gets this far."""
    user_id: UUID | None = await tx.fetchval(LOCK_LEARNER, run_id)
    if user_id is None:
        raise Superseded("the run is gone")
    refused = None
    if budget.roadmap:
        refused = _weigh("this roadmap's budget", await spent_on_roadmap(tx, run_id), budget.roadmap)
    if budget.learner_day and not refused:
        refused = _weigh("your budget for a day (UTC)", await spent_today(tx, user_id), budget.learner_day)
    if refused:
        raise NotYet(refused, await _pause(tx, run_id))


def _weigh(name: str, weighed: Weighed, limit: int) -> str:
    """Why to wait; empty when there is room for one more call. Raises BudgetExceeded when waiting is of no use."""
    if weighed.spent >= limit:
        raise BudgetExceeded(f"{name} is spent: {weighed.spent} of {limit} micro-dollars")
    return f"{name} may be spent by the calls under way" if weighed.spent + weighed.held >= limit else ""


SPENT_ON_ROADMAP = """
SELECT coalesce(sum(spent_micros), 0)::bigint AS spent, coalesce(sum(held_micros), 0)::bigint AS held
FROM runs AS this JOIN runs ON runs.roadmap_id = this.roadmap_id JOIN call_costs ON run_id = runs.id
WHERE this.id = $1
"""


async def spent_on_roadmap(db: Executor, run_id: UUID) -> Weighed:
    """By all runs of this run's roadmap."""
    return _load(await db.fetchrow(SPENT_ON_ROADMAP, run_id))


SPENT_TODAY = """
SELECT coalesce(sum(spent_micros), 0)::bigint AS spent, coalesce(sum(held_micros), 0)::bigint AS held
FROM call_costs WHERE user_id = $1 AND created_at >= date_trunc('day', now(), 'UTC')
"""


async def spent_today(db: Executor, user_id: UUID) -> Weighed:
    """By this learner's calls that began since midnight, UTC."""
    return _load(await db.fetchrow(SPENT_TODAY, user_id))


COUNT_OPEN = """
SELECT count(*) FROM content WHERE run_id = $1 AND status IN ('pending', 'writing')
"""


async def _pause(tx: Executor, run_id: UUID) -> float:
    """Seconds: the longer, the more pieces wait with this one. Spread, so that they do not come all at once."""
    pause = await tx.fetchval(COUNT_OPEN, run_id) / _LOOKS
    return float(min(max(pause, _LEAST_PAUSE), _MOST_PAUSE)) * random.uniform(0.7, 1.3)  # noqa: S311 - jitter


def _load(row: Row | None) -> Weighed:
    assert row is not None  # noqa: S101  an aggregate has one row
    return Weighed(row["spent"], row["held"])
