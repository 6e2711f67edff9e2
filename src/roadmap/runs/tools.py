"""What the jobs of a run work with."""

from dataclasses import dataclass, field

from roadmap.content.links import CheckLinks, leave_unchecked
from roadmap.database import Database
from roadmap.execution_log.recorder import Recorder
from roadmap.llm.client import Provider
from roadmap.queue.client import Queue
from roadmap.redaction import Redactor
from roadmap.runs.leases import Leases
from roadmap.runs.suspects import Suspects

__all__ = ["Tools"]


@dataclass(frozen=True, slots=True)
class Tools:
    """A content worker's tools, handed to every job; `suspects` is what its jobs share. `learner_daily_micros` is what
    one learner's calls may cost a day (0: no limit)."""

    db: Database
    queue: Queue
    provider: Provider
    recorder: Recorder
    leases: Leases
    suspects: Suspects = field(default_factory=Suspects)
    links: CheckLinks = leave_unchecked
    learner_daily_micros: int = 0
    redactor: Redactor = field(default_factory=Redactor)
