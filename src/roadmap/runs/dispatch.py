"""The jobs of a run as items on the `content` queue. An id carries the claim, so that the next try is another job."""

from collections.abc import Iterable
from uuid import UUID

from roadmap.queue.model import Job

__all__ = ["QUEUE", "draft_job", "write_jobs"]

QUEUE = "content"


def draft_job(run_id: UUID, claim: int, behind: int) -> Job:
    """`behind`: the learner's other work in line."""
    return Job(function="draft", id=f"draft:{run_id.hex}:{claim}", args=(run_id.hex,), behind=behind)


def write_jobs(run_id: UUID, concepts: Iterable[tuple[UUID, int]], behind: int) -> list[Job]:
    """A job for each (concept, claim), each one place further back in the learner's line."""
    return [
        Job(
            function="write_concept",
            id=f"write:{run_id.hex}:{concept_id.hex}:{claim}",
            args=(run_id.hex, concept_id.hex),
            behind=behind + place,
        )
        for place, (concept_id, claim) in enumerate(concepts)
    ]
