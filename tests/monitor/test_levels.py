"""When a queue is green, amber or red, and what is said of it."""

import pytest

from roadmap.heartbeat import Process
from roadmap.monitor.levels import OBJECTIVES, Situation, judge, judge_model, worst
from roadmap.monitor.model import Health

CONTENT = OBJECTIVES[Process.CONTENT]


@pytest.mark.parametrize(
    ("situation", "level", "reason"),
    [
        (Situation(None, 1, 0, paused=False, known=True), Health.GREEN, ""),
        (Situation(29, 1, 0, paused=False, known=True), Health.GREEN, ""),
        (Situation(31, 1, 0, paused=False, known=True), Health.AMBER, "more than 30 s"),
        (Situation(121, 1, 0, paused=False, known=True), Health.RED, "more than 120 s"),
        (Situation(None, 0, 0, paused=False, known=True), Health.AMBER, "no worker serves it"),
        (Situation(1, 0, 0, paused=False, known=True), Health.RED, "no worker serves it, and work waits"),
        (Situation(None, 0, 2, paused=False, known=True), Health.GREEN, ""),
        (Situation(1, 0, 2, paused=False, known=True), Health.AMBER, "hibernate"),
        (Situation(None, 1, 0, paused=True, known=True), Health.AMBER, "paused"),
        (Situation(121, 1, 0, paused=True, known=True), Health.RED, "paused"),
        (Situation(None, 1, 0, paused=False, known=False), Health.AMBER, "Redis is away"),
    ],
    ids=str,
)
def test_the_level_of_a_queue_has_a_reason_unless_it_is_green(situation: Situation, level: Health, reason: str) -> None:
    found, reasons = judge(situation, CONTENT)
    assert found is level
    assert reason in "; ".join(reasons)
    assert bool(reasons) is (level is not Health.GREEN)


@pytest.mark.parametrize(
    ("calls", "outages", "level"),
    [
        (0, 0, None),
        (2, 2, None),
        (3, 3, Health.RED),
        (20, 20, Health.RED),
        (20, 19, Health.AMBER),
        (20, 10, Health.AMBER),
        (20, 9, None),
    ],
)
def test_a_provider_is_away_when_the_latest_calls_say_so(calls: int, outages: int, level: Health | None) -> None:
    found = judge_model(calls, outages)
    assert (found and found[0]) == level


def test_the_worst_reason_comes_first() -> None:
    _, reasons = judge(Situation(31, 0, 0, paused=False, known=True), CONTENT)
    assert reasons == ("no worker serves it, and work waits", "its oldest job waits for more than 30 s")


def test_the_worst_counts() -> None:
    assert worst([]) is Health.GREEN
    assert worst([Health.AMBER, Health.GREEN, Health.RED]) is Health.RED
