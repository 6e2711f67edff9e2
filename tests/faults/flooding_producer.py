"""A process that notes far more than anybody can write down, as its only work; it tells what became of it.

Its arguments: the run's id, entries a second, seconds. It prints a line of JSON after the flood, and one when all that
it sent is written; then it waits for SIGTERM, and prints one more after the close.
"""

import asyncio
import os
import resource
import signal
import sys
import time
from pathlib import Path
from uuid import UUID

import orjson
import uvloop

from roadmap.cli.services import configure
from roadmap.database import open_database
from roadmap.execution_log.model import Category, Level
from roadmap.execution_log.recorder import Recorder, open_recorder, scope
from roadmap.queue.client import open_queue
from roadmap.runtime import Process, pool

TICK = 0.01  # seconds
ERRORS, DEBUG = 1_000, 5  # one of so many entries is an error; of the others all but one of so many are for debugging


async def flood(recorder: Recorder, run_id: UUID, rate: int, seconds: int) -> dict[str, object]:
    """What a note costs is measured over all notes of a tick. What the machine has no time for is noted later."""
    began, longest, spent = time.monotonic(), 0.0, 0.0
    with scope(run_id=run_id):
        for tick in range(int(seconds / TICK)):
            some = int(rate * TICK)
            started = time.perf_counter()
            for number in range(tick * some, tick * some + some):
                recorder.note(Category.MODEL, "flooded", level=level(number), number=number, noise=os.urandom(24).hex())
            took = time.perf_counter() - started
            longest, spent = max(longest, took / some), spent + took
            await asyncio.sleep(max(0.0, began + (tick + 1) * TICK - time.monotonic()))
    lasted = time.monotonic() - began
    return {"seconds": lasted, "us_a_note": 1e6 * spent / (rate * seconds), "worst_us": 1e6 * longest}


def level(number: int) -> Level:
    if number % ERRORS == 0:
        return Level.ERROR
    return Level.DEBUG if number % DEBUG else Level.INFO


async def settle(recorder: Recorder) -> None:
    """Waits until nothing is on its way any more."""
    while recorder.counters.written + recorder.counters.dropped < recorder.counters.noted:
        await asyncio.sleep(0.1)


def tell(what: str, recorder: Recorder, **more: object) -> None:
    counters = recorder.counters
    told = {name: getattr(counters, name) for name in counters.__slots__}
    sys.stdout.write(orjson.dumps({"message": what, "peak": peak(), **told, **more}).decode() + "\n")
    sys.stdout.flush()


def resident() -> int:
    """Bytes, now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> int:
    """Bytes. Not `ru_maxrss`, which counts what the process had before its exec: the memory of whoever started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def main(run_id: UUID, rate: int, seconds: int) -> None:
    settings = configure("flood")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with (
        open_database(pool(settings, Process.CONTENT)) as db,
        open_queue(settings.redis_url.get_secret_value()) as queue,
    ):
        async with open_recorder(db, queue) as recorder:
            before = resident()
            figures = await flood(recorder, run_id, rate, seconds)
            tell("flooded", recorder, before=before, **figures)
            await settle(recorder)
            tell("settled", recorder)
            await stop.wait()
        tell("closed", recorder)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(UUID(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
