"""How well a queue does, against what it should: the one place that says so."""

from collections.abc import Iterable
from dataclasses import dataclass

from roadmap.heartbeat import Process
from roadmap.monitor.model.queues import Health

__all__ = ["OBJECTIVES", "Objective", "Situation", "judge", "judge_model", "severity", "worst"]

# So many calls in a row are more than bad luck.
FEWEST_CALLS = 3


@dataclass(frozen=True, slots=True)
class Objective:
    """Seconds for which the oldest job may wait: beyond the first it is amber, beyond the second red."""

    amber: float
    red: float


# A learner sees the first piece of a roadmap soon; the log is read while a run goes on.
OBJECTIVES = {Process.CONTENT: Objective(30, 120), Process.LOGS: Objective(10, 60)}


@dataclass(frozen=True, slots=True)
class Situation:
    """`oldest` in seconds, None: nothing waits. `known`: Redis told of it."""

    oldest: float | None
    workers: int
    hibernating: int
    paused: bool
    known: bool


def judge(situation: Situation, objective: Objective) -> tuple[Health, tuple[str, ...]]:
    """The level, and why it is not green, the worst first."""
    found = [*_judge_age(situation, objective), *_judge_workers(situation)]
    if situation.paused:
        found.append((Health.AMBER, "it is paused"))
    if not situation.known:
        found.append((Health.AMBER, "Redis is away: new work waits in PostgreSQL"))
    found.sort(key=severity)
    return worst(level for level, _ in found), tuple(reason for _, reason in found)


def judge_model(calls: int, outages: int) -> tuple[Health, str] | None:
    """By the latest calls that have ended; None: nothing is to be said of them."""
    if calls < FEWEST_CALLS or outages * 2 < calls:
        return None
    if outages < calls:
        return Health.AMBER, f"model: {outages} of its latest {calls} calls met an outage"
    return Health.RED, f"model: its provider is away, the latest {calls} calls got no answer"


def severity(found: tuple[Health, str]) -> int:
    """Sorts the worst first."""
    return -list(Health).index(found[0])


def worst(levels: Iterable[Health]) -> Health:
    return max(levels, key=list(Health).index, default=Health.GREEN)


def _judge_age(situation: Situation, objective: Objective) -> list[tuple[Health, str]]:
    waited = situation.oldest or 0.0
    if waited > objective.red:
        return [(Health.RED, f"its oldest job waits for more than {objective.red:.0f} s")]
    if waited > objective.amber:
        return [(Health.AMBER, f"its oldest job waits for more than {objective.amber:.0f} s")]
    return []


def _judge_workers(situation: Situation) -> list[tuple[Health, str]]:
    if situation.workers or (situation.hibernating and situation.oldest is None):
        return []
    if situation.hibernating:
        return [(Health.AMBER, "its workers hibernate, and work waits")]
    if situation.oldest is None:
        return [(Health.AMBER, "no worker serves it")]
    return [(Health.RED, "no worker serves it, and work waits")]
