"""Who asks at the same time looks once; who comes later looks again."""

import asyncio

import pytest

from roadmap.errors import Outage
from roadmap.monitor.looks import MOST, Looks


class Counted:
    def __init__(self) -> None:
        self.times = 0
        self.fails = False

    async def __call__(self) -> int:
        self.times += 1
        await asyncio.sleep(0)
        if self.fails:
            raise Outage("away")
        return self.times


async def test_a_hundred_who_ask_at_once_cost_one_look() -> None:
    looks, counted = Looks(), Counted()
    assert set(await asyncio.gather(*(looks.recent("x", 60, counted) for _ in range(100)))) == {1}
    assert await looks.recent("x", 60, counted) == 1
    assert await looks.recent("y", 60, counted) == 2


async def test_an_error_is_not_kept() -> None:
    looks, counted = Looks(), Counted()
    counted.fails = True
    with pytest.raises(Outage):
        await looks.recent("x", 60, counted)
    counted.fails = False
    assert await looks.recent("x", 60, counted) == 2


async def test_what_was_done_is_seen_at_once_and_what_is_dear_stays() -> None:
    looks, counted = Looks(), Counted()
    assert [await looks.recent("x", 1, counted), await looks.recent("dear", 300, counted)] == [1, 2]
    looks.forget()
    assert [await looks.recent("x", 1, counted), await looks.recent("dear", 300, counted)] == [3, 2]


async def test_no_more_than_some_are_kept() -> None:
    looks, counted = Looks(), Counted()
    for number in range(MOST + 1):
        await looks.recent(f"day {number}", 60, counted)
    assert await looks.recent("day 0", 60, counted) == MOST + 2
    assert await looks.recent(f"day {MOST}", 60, counted) == MOST + 1
