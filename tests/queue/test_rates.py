"""A bucket: smooth, and never more than its limit in any minute."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadmap.queue.limiter import Quota
from roadmap.queue.rates import Bucket, Rate

MINUTE = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def most_in_a_minute(times: list[float]) -> int:
    """The fullest minute, whenever it begins: its beginning counts, its end does not."""
    most = first = 0
    for last, moment in enumerate(times):
        while moment - times[first] >= MINUTE - 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most


def take_greedily(limit: int, idle: list[float], seconds: float) -> list[float]:
    """When a caller got through that takes whatever it can, but for pauses of so many seconds."""
    clock = Clock()
    bucket = Bucket(Rate.of(limit), clock)
    begin, taken, pauses = clock.now, [], list(idle)
    while clock.now < begin + seconds:
        if pause := bucket.wait(1):
            clock.now += pause + 1e-9
            continue
        bucket.take(1)
        taken.append(clock.now)
        if pauses and len(taken) % 7 == 0:
            clock.now += pauses.pop()
    return taken


@given(limit=st.integers(1, 3_000), idle=st.lists(st.floats(0, 90), max_size=8))
@settings(max_examples=60, deadline=None)
def test_no_minute_sees_more_than_the_limit(limit: int, idle: list[float]) -> None:
    assert most_in_a_minute(take_greedily(limit, idle, 200)) <= limit


@pytest.mark.parametrize("limit", [1, 3, 10, 60, 500, 10_000])
def test_nearly_all_of_the_limit_can_be_used(limit: int) -> None:
    assert len(take_greedily(limit, [], 600)) >= 0.9 * limit * 10


def test_what_costs_more_than_the_bucket_holds_is_let_in_and_paid_for_by_the_next() -> None:
    clock = Clock()
    bucket = Bucket(Rate.of(6_000), clock)  # 600 at once
    assert bucket.wait(3_000) == 0
    bucket.take(3_000)
    wait = bucket.wait(1)
    assert 0.4 * MINUTE < wait < 0.5 * MINUTE
    clock.now += wait
    assert bucket.wait(1) == pytest.approx(0, abs=1e-6)
    assert bucket.wait(600) > 5


def test_what_was_not_used_is_back_at_once_and_what_was_used_beyond_is_charged() -> None:
    clock = Clock()
    bucket = Bucket(Rate.of(6_000), clock)
    bucket.take(600)
    bucket.give_back(500)
    assert bucket.wait(500) == 0
    assert bucket.wait(600) > 0
    bucket.give_back(-500)
    assert bucket.wait(1) > 0


def test_without_a_limit_nobody_waits() -> None:
    bucket = Bucket(Rate.of(0))
    for _ in range(100):
        assert bucket.wait(10**9) == 0
        bucket.take(10**9)


def test_a_share_is_a_part_of_every_limit_and_at_least_one() -> None:
    assert Quota(10, 600, 0).share(4) == Quota(2, 150, 0)
    assert Quota(1, 2, 3).share(5) == Quota(1, 1, 1)
    assert Quota(4, 4, 4).share(0) == Quota(4, 4, 4)
    assert Quota(tokens=1).is_set
    assert not Quota().is_set
