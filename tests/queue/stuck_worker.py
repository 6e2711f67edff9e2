"""A worker whose loop stops turning: `stuck_worker.py URL stubborn|yielding`.

It does so as soon as it runs a job, which waits for ever. `stubborn`: what it hangs in cannot be cancelled.
"""

import asyncio
import sys
from typing import Any

from roadmap.cli.main import _tell
from roadmap.queue.pool import arq_pool
from roadmap.queue.worker import Worker
from roadmap.signals import Stop, until_signal
from roadmap.watchdog import open_watchdog


class StuckWorker(Worker):
    stalled_after = 1
    stubborn = False

    async def heart_beat(self) -> None:
        if not self.tasks:
            return
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise


async def work(ctx: dict[str, Any]) -> None:
    await ctx["redis"].rpush("marks", f"start {ctx['job_id']}")
    await asyncio.Event().wait()


@until_signal
async def serve(stop: Stop, url: str, stubborn: bool) -> None:
    worker = StuckWorker([work], redis_pool=arq_pool(url, "content"), lease=60, handle_signals=False)
    stop.by(worker.stop)
    worker.stubborn = stubborn
    async with open_watchdog(30):
        try:
            await worker.async_run()
        finally:
            await worker.close()


if __name__ == "__main__":
    try:
        asyncio.run(serve(sys.argv[1], sys.argv[2] == "stubborn"))
    except ExceptionGroup as exc:
        sys.exit(_tell(exc))
