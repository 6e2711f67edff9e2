"""A worker in a process of its own, to be killed: `worker_process.py URL LEASE GRACE START_SECONDS`.

It says `started` when its event loop handles signals and `ready` when it serves. Jobs leave marks in the list `marks`.
"""

import asyncio
import signal
import sys
from typing import Any

from roadmap.queue.pool import arq_pool
from roadmap.queue.worker import Worker


async def work(ctx: dict[str, Any], seconds: str) -> None:
    await ctx["redis"].rpush("marks", f"start {ctx['job_id']}")
    await asyncio.sleep(float(seconds))
    await ctx["redis"].rpush("marks", f"end {ctx['job_id']}")


async def main(url: str, lease: float, grace: float, start_seconds: float) -> None:
    async def start(_: dict[str, Any]) -> None:
        say("started")
        await asyncio.sleep(start_seconds)

    worker = Worker(
        [work],
        redis_pool=arq_pool(url, "content"),
        lease=lease,
        grace=grace,
        ready=lambda: say("ready"),
        on_startup=start,
    )
    await worker.async_run()
    await worker.close()


def say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(float, sys.argv[2:5])))
    # The loop's handlers are gone now, the exit is not over.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
