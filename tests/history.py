"""What happened in a test with faults, and the invariants I1 to I10 of the list of faults over all of it.

async with open_whole(...) as whole, watched(whole) as history:
    await whole.stack.start("content", "logs")
    roadmap_id = await whole.create()
    await whole.ready(10)
    history.fault("kill -9 content")
    await whole.stack.kill("content")
    await whole.stack.start("content")
    with history.trouble("redis away", Mark.AWAY, Mark.FORGETS):
        ...
    figures = await history.check()       # waits for the end of every run, and ends the processes

Start watching before the workers. `check` needs a content worker, and those whose queues shall be seen to drain.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import invariants
import orjson
from log_comparison import Comparison, compare_log
from recording import AWAY, Connection, Mark, Recording, Trouble, connect, install, read_changes, setting
from redis.exceptions import RedisError
from stack import Child
from whole import LEASE, Whole

__all__ = ["FIGURES", "Figures", "History", "Mark", "watched"]

# The environment variable that names the file for the figures of each test.
FIGURES = "FAULT_FIGURES"

ACTIVE_RUNS = """
SELECT count(*) FROM runs WHERE finished_at IS NULL
"""

TOTALS = """
SELECT (SELECT count(*) FROM roadmaps)::int AS roadmaps, (SELECT count(*) FROM content)::int AS pieces,
    (SELECT count(*) FROM model_calls)::int AS calls,
    (SELECT count(*) FROM (SELECT DISTINCT run_id, concept_id, kind, purpose, prompt_hash FROM model_calls) AS q)::int
        AS questions
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """`repeated`: calls for a question that was asked before. `excused`: entries that died with a killed process in
    its last moments. `connections`: the most at once."""

    faults: int
    roadmaps: int
    pieces: int
    calls: int
    repeated: int
    entries: int
    lost: int
    doubled: int
    excused: int
    connections: int
    seconds: float
    complaints: int

    def write(self, test: str) -> None:
        """Adds a line to the file that the environment names. One write: test processes share it."""
        place = os.environ.get(FIGURES)
        if place:
            line = orjson.dumps({"test": test, **asdict(self)}, option=orjson.OPT_APPEND_NEWLINE)
            with open(place, "ab", buffering=0) as file:  # noqa: PTH123 - unbuffered appending, said as it is
                file.write(line)


class History:
    """Made by `watched`."""

    def __init__(self, whole: Whole, lease: float, recording: Recording) -> None:
        self.recording = recording
        self._whole = whole
        self._lease = lease
        self._queues = ["content", "logs"]
        self._quiet_since: float | None = None

    def fault(self, name: str, *marks: Mark) -> None:
        """Something is done to us at this moment. Say it before you do it."""
        now = time.time()
        self.recording.troubles.append(Trouble(name, now, now, frozenset(marks)))

    @contextmanager
    def trouble(self, name: str, *marks: Mark) -> Iterator[Trouble]:
        """A fault that lasts as long as the block."""
        trouble = Trouble(name, time.time(), float("inf"), frozenset(marks))
        self.recording.troubles.append(trouble)
        try:
            yield trouble
        finally:
            trouble.ended = time.time()

    async def check(self, *, within: float = 60.0) -> Figures:
        """Waits until every run has ended and the queues are empty, stops the processes, and judges. Raises
        AssertionError with everything that is wrong."""
        figures, complaints = await self.conclude(_this_test(), within=within)
        assert complaints == [], "\n".join([*complaints, *self.tell()])
        return figures

    async def conclude(self, test: str, *, within: float) -> tuple[Figures, list[str]]:
        """As `check`, and returns what is wrong. `test` names the figures."""
        await self.settle(within=within)
        await self.stop()
        connection = await connect(self.recording.url)
        try:
            figures, complaints = await self.judge(connection)
        finally:
            await connection.close()
        figures.write(test)
        return figures, complaints

    async def settle(self, *, within: float = 60.0) -> None:
        """Waits; what does not come to its end in time is found by `judge`."""
        running = self._running()
        self._queues = sorted({child.service for child in running} - {"web"})
        for child in running:
            child.signal(signal.SIGCONT)
        await _until(self._all_ended, within)
        await _until(self._drained, within)
        self._quiet_since = time.time()

    async def stop(self) -> None:
        """SIGTERM for every process, and the end of each. Who writes the log is last: the others' last words count."""
        await self._stop([child for child in self._running() if child.service != "logs"])
        await _until(self._drained, 10)
        await self._stop(self._running())

    async def _stop(self, children: Sequence[Child]) -> None:
        for child in children:
            child.signal(signal.SIGTERM)
        for child in children:
            await child.exits(within=float(setting(child, "shutdown_grace")) + invariants.SLACK)

    async def judge(self, db: Connection) -> tuple[Figures, list[str]]:
        """The invariants as things stand now, and in this connection's transaction."""
        log = await compare_log(db, self.recording)
        complaints = [*await self._complaints(db), *log.complaints]
        return await self._figures(db, log, len(complaints)), complaints

    def tell(self) -> list[str]:
        """The faults, with the seconds since the beginning."""
        began = self.recording.began
        return [
            f"{trouble.began - began:7.1f} s  {trouble.name}"
            + (f" ({trouble.ended - trouble.began:.1f} s)" if trouble.ended > trouble.began else "")
            for trouble in sorted([*self.recording.troubles, *self.recording.hiccups], key=lambda one: one.began)
        ]

    async def _complaints(self, db: Connection) -> list[str]:
        whole, recording = self._whole, self.recording
        changes = await read_changes(db)
        troubles = [*recording.troubles, *recording.hiccups]
        return [
            *await invariants.find_missing_ends(db, whole.accepted),
            *await invariants.find_wrong_bodies(db),
            *await invariants.find_wrong_events(db),
            *invariants.find_moves_back(changes),
            *invariants.find_forgotten_work(changes, troubles, self._lease, self._quiet_since or time.time()),
            *await invariants.find_repeated_calls(db, troubles),
            *invariants.find_too_many_connections(recording),
            *invariants.find_late_exits(recording),
            *await invariants.find_unknown_calls(db, Counter(call.purpose for call in whole.model.calls)),
            *await invariants.find_leftovers(whole.redis, self._queues, troubles),
        ]

    async def _figures(self, db: Connection, log: Comparison, complaints: int) -> Figures:
        totals: Any = await db.fetchrow(TOTALS)
        return Figures(
            faults=len(self.recording.troubles),
            roadmaps=totals["roadmaps"],
            pieces=totals["pieces"],
            calls=totals["calls"],
            repeated=totals["calls"] - totals["questions"],
            entries=log.noted,
            lost=len(log.lost),
            doubled=len(log.doubled) + len(log.unexpected),
            excused=log.excused,
            connections=max((sample.connections.total() for sample in self.recording.samples), default=0),
            seconds=round(time.time() - self.recording.began, 1),
            complaints=complaints,
        )

    def _running(self) -> list[Child]:
        return [child for child in self._whole.stack.everyone if child.exit_code is None]

    async def _all_ended(self) -> bool:
        connection = await connect(self.recording.url)
        try:
            return bool(await connection.fetchval(ACTIVE_RUNS) == 0)
        finally:
            await connection.close()

    async def _drained(self) -> bool:
        return await invariants.find_leftovers(self._whole.redis, self._queues, self.recording.troubles) == []


@asynccontextmanager
async def watched(whole: Whole, *, lease: float = LEASE) -> AsyncIterator[History]:
    """`lease` in seconds, as the workers have it."""
    await install(whole.database_url)
    recording = Recording(whole.database_url, whole.stack)
    sampling = asyncio.create_task(recording.sample_forever())
    try:
        yield History(whole, lease, recording)
    finally:
        sampling.cancel()
        outcome = (await asyncio.gather(sampling, return_exceptions=True))[0]
    assert isinstance(outcome, asyncio.CancelledError), f"nobody counted the connections: {outcome!r}"


def _this_test() -> str:
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("/")[2].rpartition(" ")[0]


async def _until(condition: Callable[[], Awaitable[bool]], within: float) -> None:
    """Or until the time is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            while not await _holds(condition):
                await asyncio.sleep(0.1)


async def _holds(condition: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await condition()
    except (RedisError, *AWAY):
        return False
