"""The watchdog in processes of their own, since it ends them."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from roadmap.watchdog import open_watchdog

START = """
import asyncio, sys, time
from roadmap.watchdog import open_watchdog, watch_progress

def block(seconds):
    time.sleep(seconds)

"""


def run(script: str, *, within: float = 60) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", START + script]
    return subprocess.run(command, capture_output=True, text=True, timeout=within, check=False)


def test_a_blocked_loop_ends_the_process_and_shows_where_it_is_blocked() -> None:
    began = time.monotonic()
    ended = run("""
async def main():
    async with open_watchdog(2):
        await asyncio.sleep(0.1)
        block(600)

asyncio.run(main())
""")
    assert time.monotonic() - began < 30
    assert ended.returncode == 1
    assert ended.stderr.startswith("Timeout (0:00:02)!")
    assert "in block" in ended.stderr
    assert "in main" in ended.stderr


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("block(1.3); await asyncio.sleep(0); block(1.3)", id="blocked_twice_for_less_than_the_limit"),
        pytest.param("await asyncio.sleep(3.5)", id="waiting"),
    ],
)
def test_a_loop_that_turns_in_time_goes_on(body: str) -> None:
    ended = run(f"""
async def main():
    async with open_watchdog(2):
        {body}
    print("fine")

asyncio.run(main())
""")
    assert (ended.returncode, ended.stdout.split()[-1], ended.stderr) == (0, "fine", "")


@pytest.mark.parametrize("way_out", ["pass", "raise ValueError"])
def test_after_the_block_nothing_is_watched_whichever_way_it_was_left(way_out: str) -> None:
    ended = run(f"""
async def main():
    async with open_watchdog(1):
        {way_out}

try:
    asyncio.run(main())
except ExceptionGroup:
    pass
block(2)
print("fine")
""")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "fine\n", "")


def test_a_limit_of_0_means_never() -> None:
    ended = run("""
async def main():
    async with open_watchdog(0) as watchdog:
        await asyncio.sleep(0.1)
        block(1.5)
        await asyncio.sleep(0.1)
        print(watchdog.lag > 0.9)

asyncio.run(main())
""")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


def test_a_process_without_stderr_starts_and_is_not_watched() -> None:
    ended = run("""
async def main():
    async with open_watchdog(1):
        print("fine")

sys.stderr = None
asyncio.run(main())
""")
    assert (ended.returncode, ended.stdout) == (0, "fine\n")


async def test_the_lag_is_that_of_the_last_seconds() -> None:
    async with open_watchdog(0) as watchdog:
        assert watchdog.lag == 0
        await asyncio.sleep(0.01)
        time.sleep(1.5)
        await asyncio.sleep(0.01)
        assert 0.9 < watchdog.lag < 5


def test_a_process_that_was_frozen_has_not_stalled() -> None:
    """The loop of the worker may need a moment after the frost, and gets it."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-uc",
            START
            + """
progress = 0

async def turn():
    global progress
    for _ in range(40):
        progress += 1
        await asyncio.sleep(0.1)

async def main():
    watch = asyncio.create_task(watch_progress(lambda: progress, 2))
    print("begun")
    await turn()
    watch.cancel()

asyncio.run(main())
""",
        ],
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 0
