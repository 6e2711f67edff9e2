"""What one `note()` costs the work that calls it: `python bench/recorder_note.py [warning|info]`. Needs no servers.

With `warning` it is the execution log's part alone; with `info` each note also makes its JSON line of diagnostics.
"""

import asyncio
import os
import statistics
import sys
import time
from pathlib import Path

from roadmap.diagnostics import configure_diagnostics
from roadmap.execution_log.model import Category
from roadmap.execution_log.recorder import Pace, Recorder, scope
from roadmap.ids import new_id
from roadmap.queue.client import open_queue

ROUNDS, NOTES = 200, 50
# As many as a content worker has, of the usual length: every line is searched for each.
SECRETS = [f"postgresql://roadmap:{'d' * 32}@db/roadmap", f"redis://default:{'r' * 32}@cache/0", f"sk-{'l' * 40}"]


async def measure(level: str) -> list[float]:
    """Microseconds of a note in each of many short rounds."""
    configure_diagnostics(level, process="bench", secrets=SECRETS)
    async with open_queue("redis://127.0.0.1:1/0") as queue:
        recorder = Recorder(queue, 10_000, Pace())
        with scope(run_id=new_id(), concept_id=new_id(), step="tutorial"):
            return [one_round(recorder) for _ in range(ROUNDS)]


def one_round(recorder: Recorder) -> float:
    began = time.perf_counter_ns()
    for number in range(NOTES):
        recorder.note(Category.MODEL, "The model answered", duration_ms=812, tokens=number, purpose="tutorial")
    return (time.perf_counter_ns() - began) / NOTES / 1_000


def main() -> None:
    # A level for each process: structlog keeps the loggers that it has made.
    level = sys.argv[1] if len(sys.argv) > 1 else "warning"
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = nowhere
        rounds = asyncio.run(measure(level))
        sys.stdout = sys.__stdout__
    print(f"note() with diagnostics from {level}: median {statistics.median(rounds):.1f} us, best {min(rounds):.1f} us")


if __name__ == "__main__":
    main()
