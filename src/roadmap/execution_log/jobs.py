"""The logs worker's side: one job for each batch, one commit for many jobs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from roadmap.database import Database
from roadmap.errors import Outage
from roadmap.execution_log.batch import Batch, Unreadable, batch_uuid, unpack
from roadmap.execution_log.writing import bury, write_batches
from roadmap.queue.observer import Outcome

__all__ = ["Committed", "Committer", "open_committer", "write_log_batch"]

GATHER = 0.010  # seconds
GROUP_BYTES = 1_000_000  # about 2,000 entries
GROUP_BATCHES = 500
COMMIT_LIMIT = 60.0  # seconds


async def write_log_batch(committer: "Committer", payload: str, batch_id: str) -> Outcome:
    """Ends when the batch is committed, or kept as a dead letter. Raises Outage: deliver it again."""
    batch = batch_uuid(batch_id)
    try:
        text = unpack(payload)
    except Unreadable as exc:
        await bury(committer.db, batch, payload.encode("utf-8", "surrogatepass"), str(exc))
        return Outcome.FAILED
    await committer.commit(Batch(batch, text))
    return Outcome.SUCCEEDED


@dataclass(slots=True)
class Committed:
    """Counted since the start."""

    batches: int = 0
    statements: int = 0


class Committer:
    """Gathers the batches of all jobs of a process for 10 ms and commits them in one statement."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.counters = Committed()
        self._waiting: asyncio.Queue[tuple[Batch, asyncio.Future[None]]] = asyncio.Queue()

    async def commit(self, batch: Batch) -> None:
        """Raises Outage. A caller that gives up leaves no harm: writing twice is writing once."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((batch, done))
        try:
            await asyncio.wait_for(done, COMMIT_LIMIT)
        except TimeoutError as exc:
            raise Outage("the execution log is written too slowly") from exc

    async def run(self) -> None:
        """Commits for ever; whatever goes wrong goes to the jobs whose batches they were."""
        while True:
            group = await self._gather()
            fault: Exception | None = Outage("the logs worker is stopping", retry_in=0)
            try:
                self.counters.statements += await write_batches(self.db, [batch for batch, _ in group])
                self.counters.batches += len(group)
                fault = None
            except Exception as exc:  # noqa: BLE001 - handed to the jobs' border, which knows what to do
                fault = exc
            finally:
                for _, done in group:
                    _settle(done, fault)

    def give_up(self) -> None:
        """Answers the jobs that still wait."""
        while not self._waiting.empty():
            _settle(self._waiting.get_nowait()[1], Outage("the logs worker is stopping", retry_in=0))

    async def _gather(self) -> list[tuple[Batch, "asyncio.Future[None]"]]:
        group = [await self._waiting.get()]
        size = len(group[0][0].text)
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER):
                while size < GROUP_BYTES and len(group) < GROUP_BATCHES:
                    group.append(await self._waiting.get())
                    size += len(group[-1][0].text)
        return group


def _settle(done: "asyncio.Future[None]", fault: Exception | None) -> None:
    if done.done():
        return
    if fault is None:
        done.set_result(None)
    else:
        done.set_exception(fault)


@asynccontextmanager
async def open_committer(db: Database) -> AsyncIterator[Committer]:
    committer = Committer(db)
    task = asyncio.create_task(committer.run(), name="log-committer")
    try:
        yield committer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        committer.give_up()
