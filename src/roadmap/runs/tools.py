"""What the jobs of a run work with."""

from dataclasses import dataclass

from roadmap.database import Database
from roadmap.execution_log.recorder import Recorder
from roadmap.llm.client import Provider
from roadmap.queue.client import Queue
from roadmap.runs.leases import Leases

__all__ = ["Tools"]


@dataclass(frozen=True, slots=True)
class Tools:
    """A content worker's tools, handed to every job."""

    db: Database
    queue: Queue
    provider: Provider
    recorder: Recorder
    leases: Leases
