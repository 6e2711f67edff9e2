"""What the jobs of a run work with."""

from dataclasses import dataclass, field

from roadmap.database import Database
from roadmap.execution_log.recorder import Recorder
from roadmap.llm.client import Provider
from roadmap.queue.client import Queue
from roadmap.runs.leases import Leases
from roadmap.runs.suspects import Suspects

__all__ = ["Tools"]


@dataclass(frozen=True, slots=True)
class Tools:
    """A content worker's tools, handed to every job; `suspects` is what its jobs share."""

    db: Database
    queue: Queue
    provider: Provider
    recorder: Recorder
    leases: Leases
    suspects: Suspects = field(default_factory=Suspects)
