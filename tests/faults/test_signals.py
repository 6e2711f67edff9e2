"""SIGTERM and SIGINT in every moment of a process's life: it ends with 0, within its grace, without a traceback."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from history import History
from stack import Child, Stack, open_stack
from waiting import eventually
from whole import PIECES, Whole, check_run, offline, open_whole, rows

SERVICES = ("web", "content", "logs")
STOPS = (signal.SIGTERM, signal.SIGINT)
START = 1.5  # seconds that a process takes to get ready, about

pytestmark = [
    pytest.mark.fault("F6"),
    pytest.mark.skipif(sys.platform != "linux", reason="which signals a process handles is read from /proc"),
]


@pytest.mark.parametrize("name", SERVICES)
async def test_a_signal_during_the_start_ends_it_with_0(
    name: str, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    async with open_stack(tmp_path, database_url, redis_url) as stack:
        for number in STOPS:
            for moment in (0.0, START / 3, 2 * START / 3):
                await _start_and_stop(stack, name, number, moment)


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVICES)
async def test_a_signal_in_any_moment_of_the_start_ends_it_with_0(
    name: str, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    chance = random.Random(name)
    async with open_stack(tmp_path, database_url, redis_url) as stack:
        for _ in range(20):
            await _start_and_stop(stack, name, chance.choice(STOPS), chance.uniform(0, START))


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url, SHUTDOWN_GRACE="6") as opened:
        yield opened


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
async def test_signals_again_and_again_in_mid_run_end_every_process_with_0(
    number: signal.Signals, whole: Whole, history: History
) -> None:
    whole.model.default = lambda call: offline(3.0 if call.purpose == "tutorial" else 0.0)(call)
    await whole.stack.start(*SERVICES)
    roadmap_id = await whole.create(size="small")
    await eventually(lambda: whole.model.count(purpose="tutorial"), "concepts are written")
    history.fault(f"{number.name} for all")
    for _ in range(3):
        for name in SERVICES:
            whole.stack[name].signal(number)
        await asyncio.sleep(0.3)  # into different moments of the shutdown
    assert [await whole.stack[name].exits(within=8) for name in SERVICES] == [0, 0, 0]
    assert [name for name in SERVICES if "Traceback" in whole.stack[name].text()] == []
    assert [piece for piece in await rows(whole.db, PIECES, roadmap_id) if piece["claimed_by"]] == []
    whole.model.default = offline()
    await whole.stack.start("content", "logs")
    assert (await whole.finish(roadmap_id))["status"] == "succeeded"
    pieces = await check_run(whole.db, roadmap_id)
    assert {(piece["failures"], piece["crashes"]) for piece in pieces} == {(0, 0)}
    await history.check()


async def _start_and_stop(stack: Stack, name: str, number: signal.Signals, moment: float) -> None:
    """Before it handles signals the interpreter has not begun with our code, which cannot help it."""
    child = await stack.launch(name)
    await eventually(lambda: _handles_signals(child), f"{name} handles signals")
    await asyncio.sleep(moment)
    child.signal(number)
    assert await child.exits(within=10) == 0, child.text()
    assert "Traceback" not in child.text()


def _handles_signals(child: Child) -> bool:
    """Looks at SIGTERM, the last that we ask for: Python itself handles SIGINT from the first, by an exception."""
    lines = dict(line.split(":\t") for line in Path(f"/proc/{child.pid}/status").read_text().splitlines())
    return bool(int(lines["SigCgt"], 16) & 1 << (signal.SIGTERM - 1))
