"""The jobs of a run as items on the `content` queue. An id carries the claim, so that the next try is another job."""

from collections.abc import Iterable
from uuid import UUID

from roadmap.queue.model import Job

__all__ = ["ARGUMENTS", "DRAFT_PLACES", "QUEUE", "draft_job", "write_jobs"]

QUEUE = "content"
# What a roadmap that is still to be planned takes up in its learner's line: about as much as its concepts will. So a
# learner has one line, in which the earlier roadmap is written before the later one is planned.
DRAFT_PLACES = 10

# Every function that a queue knows, and how many arguments (all of them text) it takes.
ARGUMENTS = {("content", "draft"): 1, ("content", "write_concept"): 2, ("logs", "write_log_batch"): 1}


def draft_job(run_id: UUID, claim: int, behind: int) -> Job:
    """`behind`: the learner's other work in line."""
    return Job(function="draft", id=f"draft:{run_id.hex}:{claim}", args=(run_id.hex,), behind=behind)


def write_jobs(run_id: UUID, concepts: Iterable[tuple[UUID, str]], behind: int) -> list[Job]:
    """A job for each concept, each one place further back in the learner's line. The text beside a concept tells the
    claims of its open pieces: while one of them is written, a job for another is not its duplicate."""
    return [
        Job(
            function="write_concept",
            id=f"write:{run_id.hex}:{concept_id.hex}:{claims}",
            args=(run_id.hex, concept_id.hex),
            behind=behind + place,
        )
        for place, (concept_id, claims) in enumerate(concepts)
    ]
