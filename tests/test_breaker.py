"""The circuit breaker, on a clock of the test's own."""

import pytest

from roadmap.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def probes(breaker: Breaker, clock: Clock, seconds: float) -> list[float]:
    """When a caller that asks ten times a second, and always fails, was let through."""
    found = []
    for _ in range(round(seconds * 10)):
        clock.now = round(clock.now + 0.1, 1)
        if breaker.allows():
            found.append(clock.now)
            breaker.failed()
    return found


def test_it_opens_after_its_faults_in_a_row_and_lets_one_probe_out_after_each_longer_pause(clock: Clock) -> None:
    breaker = Breaker(3, 1.0, 5.0, clock)
    told = []
    for _ in range(5):  # two were under way when it opened
        assert breaker.allows() == (len(told) < 3)
        told.append(breaker.failed())
    assert told == [False, False, True, False, False]
    assert probes(breaker, clock, 20) == [1.0, 3.0, 7.0, 12.0, 17.0]


def test_a_success_in_between_starts_the_count_anew(clock: Clock) -> None:
    breaker = Breaker(3, 1.0, 5.0, clock)
    for _ in range(10):
        assert not breaker.failed()
        assert not breaker.failed()
        assert not breaker.succeeded()
    assert breaker.allows()


def test_a_success_closes_it_and_the_next_pause_is_the_first_again(clock: Clock) -> None:
    breaker = Breaker(2, 5.0, 60.0, clock)
    breaker.failed()
    breaker.failed()
    assert probes(breaker, clock, 20) == [5.0, 15.0]
    assert breaker.succeeded()
    assert breaker.allows()
    assert breaker.allows()
    breaker.failed()
    assert breaker.failed()
    assert probes(breaker, clock, 5) == [25.0]


def test_a_probe_that_never_reports_back_does_not_keep_it_shut(clock: Clock) -> None:
    breaker = Breaker(1, 1.0, 5.0, clock)
    breaker.failed()
    clock.now = 1.0
    assert breaker.allows()
    assert not breaker.allows()
    clock.now = 3.0
    assert breaker.allows()


def test_it_tells_how_long_its_pause_still_is_and_that_is_no_probe(clock: Clock) -> None:
    breaker = Breaker(1, 4.0, 60.0, clock)
    assert breaker.pause_left() == 0
    breaker.failed()
    clock.now = 1.0
    assert breaker.pause_left() == 3.0
    clock.now = 5.0
    assert breaker.pause_left() == 0
    assert breaker.allows()
    assert breaker.pause_left() == 8.0


def test_a_probe_that_is_put_back_is_the_next_ones_and_prolongs_nothing(clock: Clock) -> None:
    breaker = Breaker(1, 1.0, 60.0, clock)
    breaker.failed()
    clock.now = 1.0
    for _ in range(5):
        assert breaker.allows()
        assert breaker.is_open
        breaker.put_back()
    assert breaker.allows()
    assert breaker.pause_left() == 2.0
