"""A job whose claim is lost or canceled ends with Superseded; one whose process stops, with CancelledError."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from roadmap.database import Database
from roadmap.errors import Superseded
from roadmap.ids import new_id
from roadmap.queue.client import open_queue
from roadmap.runs.leases import Hold, Leases, open_leases

Wait = Callable[[asyncio.Event], Awaitable[None]]


@pytest.fixture
async def leases(database: Database, redis_url: str) -> AsyncIterator[Leases]:
    async with open_queue(redis_url) as queue, open_leases(database, queue, "test", 60) as opened:
        yield opened


async def _bare(begun: asyncio.Event) -> None:
    begun.set()
    await asyncio.Event().wait()


async def _in_group_and_timeout(begun: asyncio.Event) -> None:
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(_bare(begun))
        group.create_task(asyncio.Event().wait())


async def _job(leases: Leases, wait: Wait, begun: asyncio.Event, holds: list[Hold]) -> None:
    task = asyncio.current_task()
    assert task
    hold = Hold(new_id(), task)
    holds.append(hold)
    with leases.hold(hold):
        await wait(begun)


@pytest.mark.parametrize("wait", [_bare, _in_group_and_timeout])
async def test_a_lost_hold_becomes_superseded_and_leaves_the_task_uncancelled(leases: Leases, wait: Wait) -> None:
    begun, holds = asyncio.Event(), list[Hold]()

    async def outer() -> str:
        with pytest.raises(Superseded, match="gone"):
            await _job(leases, wait, begun, holds)
        await asyncio.sleep(0)  # a cancellation that was not taken back would come here
        return "goes on"

    task = asyncio.create_task(outer())
    await begun.wait()
    holds[0].lose("gone")
    holds[0].lose("again")
    assert await task == "goes on"
    assert len(leases) == 0


@pytest.mark.parametrize("wait", [_bare, _in_group_and_timeout])
@pytest.mark.parametrize("lost_first", [True, False])
async def test_a_process_that_stops_is_stronger_than_a_lost_hold(leases: Leases, wait: Wait, lost_first: bool) -> None:
    begun, holds = asyncio.Event(), list[Hold]()
    task = asyncio.create_task(_job(leases, wait, begun, holds))
    await begun.wait()
    if lost_first:
        holds[0].lose("gone")
    task.cancel()
    if not lost_first:
        holds[0].lose("gone")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(leases) == 0


@pytest.mark.parametrize("wait", [_bare, _in_group_and_timeout])
async def test_a_timeout_around_the_hold_stays_a_timeout(leases: Leases, wait: Wait) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await _job(leases, wait, asyncio.Event(), [])


async def test_a_hold_that_is_lost_by_its_own_child_becomes_superseded(leases: Leases) -> None:
    async def lose(hold: Hold) -> None:
        hold.lose("gone")

    async def job() -> None:
        task = asyncio.current_task()
        assert task
        with leases.hold(Hold(new_id(), task)) as hold:
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                group.create_task(lose(hold))

    with pytest.raises(Superseded):
        await asyncio.create_task(job())
