"""What a run gives up for good becomes a dead job, in the transaction in which its row fails."""

from roadmap.content.store import Piece
from roadmap.database import Executor
from roadmap.dead_jobs.cause import death_of
from roadmap.dead_jobs.store import Work, bury_work
from roadmap.errors import BudgetExceeded, Unusable
from roadmap.redaction import Redactor
from roadmap.runs.dispatch import QUEUE
from roadmap.runs.model import DraftClaim

__all__ = ["bury_draft", "bury_piece"]


async def bury_piece(tx: Executor, redactor: Redactor, piece: Piece, error: Unusable) -> None:
    """A spent budget is no fault that an operator could mend: its learner raises it."""
    if isinstance(error, BudgetExceeded):
        return
    work = Work(
        queue=QUEUE,
        function="write_concept",
        payload={"args": [piece.run_id.hex, piece.concept_id.hex]},
        attempts=_attempts(piece, error),
        run_id=piece.run_id,
        concept_id=piece.concept_id,
        kind=piece.kind.value,
    )
    await bury_work(tx, work, death_of(redactor, error, "write_concept", piece.kind.value))


async def bury_draft(tx: Executor, redactor: Redactor, claim: DraftClaim, error: Unusable) -> None:
    """As for a piece."""
    if isinstance(error, BudgetExceeded):
        return
    work = Work(
        queue=QUEUE,
        function="draft",
        payload={"args": [claim.run_id.hex]},
        attempts=_attempts(claim, error),
        run_id=claim.run_id,
    )
    await bury_work(tx, work, death_of(redactor, error, "draft"))


def _attempts(work: Piece | DraftClaim, error: Unusable) -> int:
    """Tries that failed, with this one, and workers that died at it. (The last of those came to no try.)"""
    return work.failures + work.crashes + int(error.code != "worker_died")
