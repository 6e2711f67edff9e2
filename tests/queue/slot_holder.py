"""A process that takes all the slots that it gets, to be killed: `slot_holder.py URL NAME CONCURRENCY`.

It says how many it has, and renews them until its end.
"""

import asyncio
import sys
from uuid import uuid4

from roadmap.queue.client import open_queue
from roadmap.queue.limiter import Quota, open_limiter


async def main(url: str, name: str, concurrency: int) -> None:
    async with open_queue(url, timeout=5) as queue, open_limiter(queue, name, Quota(concurrency), 1) as limiter:
        count = 0
        while await limiter.acquire(uuid4(), 0) == 0:
            count += 1
        sys.stdout.write(f"{count}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
