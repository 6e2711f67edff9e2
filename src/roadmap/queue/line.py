"""A queue as it stands in Redis: how long it is, what of it runs, and how long the first in line have waited."""

from dataclasses import dataclass

from arq.constants import in_progress_key_prefix, job_key_prefix
from redis.asyncio import Redis

from roadmap.queue.model import KEPT_MS

__all__ = ["Line", "read_line"]

# Running jobs stay in front of the line, and a learner's many jobs stand behind those of others.
LOOKED_AT = 1_000


@dataclass(frozen=True, slots=True)
class Line:
    """`depth` is all that is queued, deferred and running. `running` and `oldest` are of the first thousand in line;
    `oldest` is since when one of those that do not run is there, in seconds; None: no such job."""

    depth: int
    running: int
    oldest: float | None


async def read_line(client: Redis, queue: str) -> Line:
    """Raises FAULTS. `queue` is its key."""
    async with client.pipeline(transaction=False) as pipe:
        pipe.zcard(queue)
        pipe.zrange(queue, 0, LOOKED_AT - 1)
        depth, ids = await pipe.execute()
    if not ids:
        return Line(depth, 0, None)
    async with client.pipeline(transaction=False) as pipe:
        pipe.mget([in_progress_key_prefix.encode() + job_id for job_id in ids])
        for job_id in ids:
            pipe.pttl(job_key_prefix.encode() + job_id)
        held, *lives = await pipe.execute()
    # Payloads may be large, and each is given the same life: what is left of that says how old it is.
    ages = [max(KEPT_MS - life, 0) / 1000 for life, holder in zip(lives, held, strict=True) if not holder and life > 0]
    return Line(depth, sum(holder is not None for holder in held), max(ages, default=None))
