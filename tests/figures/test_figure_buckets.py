"""Times in buckets: what can still be told of them."""

import random

import pytest

from roadmap.figures.buckets import BOUNDS, add, bucket, quantile
from roadmap.figures.model import Tally, Times, together

RATIO = 2**0.5


def counted(times: list[float]) -> list[int]:
    counts = [0] * (len(BOUNDS) + 1)
    for seconds in times:
        counts[bucket(seconds)] += 1
    return counts


def test_buckets_reach_from_a_millisecond_to_more_than_an_hour() -> None:
    assert BOUNDS[0] == 0.001
    assert BOUNDS[-1] > 3600
    assert [bucket(seconds) for seconds in (0, 0.001, 0.0011, BOUNDS[-1], BOUNDS[-1] + 1)] == [0, 0, 1, 44, 45]


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_quantile_is_wrong_by_less_than_its_bucket(share: float) -> None:
    chance = random.Random(7)
    times = sorted(chance.lognormvariate(1, 1.5) for _ in range(5_000))
    true = times[int(share * len(times)) - 1]
    told = quantile(counted(times), share)
    assert told is not None
    assert true / RATIO < told < true * RATIO


def test_nothing_is_told_of_nothing_and_only_the_last_bound_of_what_is_beyond() -> None:
    assert quantile([], 0.5) is None
    assert quantile([0, 0], 0.5) is None
    assert quantile(counted([100_000.0]), 0.5) == BOUNDS[-1]


def test_counts_of_different_lengths_add_up() -> None:
    assert add([1, 2], [3, 4, 5]) == [4, 6, 5]
    assert add([], []) == []


def test_tallies_add_up_to_what_all_their_jobs_would_have_made() -> None:
    some, others = [0.01, 0.5, 2.0], [0.02, 30.0]
    one = Tally(3, 2, 1, 0, run=Times(sum(some), counted(some)))
    two = Tally(1, 1, 0, 1, run=Times(sum(others), counted(others)))
    both = together([one, two])
    assert (both.offered, both.ended, both.returned) == (4, 4, 1)
    assert both.failure_rate == 0.25
    assert both.run.p50 == quantile(counted(some + others), 0.5)
    assert both.run.total == pytest.approx(sum(some) + sum(others))
    assert (both.wait.p99, Tally().failure_rate) == (None, None)
