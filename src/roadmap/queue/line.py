"""A queue as it stands in Redis: how long it is, what of it runs, and how long the first in line have waited."""

from dataclasses import dataclass

from arq.constants import in_progress_key_prefix, job_key_prefix
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from roadmap.queue.model import KEPT_MS, load_job

__all__ = ["InLine", "Line", "read_jobs", "read_line"]

# Of a payload that is shown: a batch of the log is much longer.
MOST_SHOWN = 4_096

# Running jobs stay in front of the line, and a learner's many jobs stand behind those of others.
LOOKED_AT = 1_000
AGES = 20  # of those that wait: an age is a command, and some hosts bill each


@dataclass(frozen=True, slots=True)
class Line:
    """`depth` is all that is queued, deferred and running. `running` is of the first thousand in line; `oldest` of the
    first twenty that do not run, in seconds since they came there; None: no such job."""

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
    held = await client.mget([in_progress_key_prefix.encode() + job_id for job_id in ids])
    waiting = [job_id for job_id, holder in zip(ids, held, strict=True) if not holder]
    async with client.pipeline(transaction=False) as pipe:
        for job_id in waiting[:AGES]:
            pipe.pttl(job_key_prefix.encode() + job_id)
        lives = await pipe.execute()
    # Payloads may be large, and each is given the same life: what is left of that says how old it is.
    oldest = max((max(KEPT_MS - life, 0) / 1000 for life in lives if life > 0), default=None)
    return Line(depth, len(ids) - len(waiting), oldest)


@dataclass(frozen=True, slots=True)
class InLine:
    """A job in a queue. `arguments` are as they came, by place and by name; None when its payload is gone, longer
    than what is read of it, or not in our format: `beginning` is what was read then. `waited` in seconds; None: not
    known."""

    id: str
    function: str | None
    arguments: tuple[list[object], dict[str, object]] | None
    beginning: bytes
    running: bool
    waited: float | None


async def read_jobs(client: Redis, queue: str, limit: int) -> list[InLine]:
    """The first in line. Raises FAULTS. `queue` is its key."""
    ids: list[bytes] = await client.zrange(queue, 0, limit - 1)
    if not ids:
        return []
    async with client.pipeline(transaction=False) as pipe:
        pipe.mget([in_progress_key_prefix.encode() + job_id for job_id in ids])
        for job_id in ids:
            pipe.pttl(job_key_prefix.encode() + job_id)
            pipe.getrange(job_key_prefix.encode() + job_id, 0, MOST_SHOWN - 1)
        held, *told = await pipe.execute(raise_on_error=False)
    if isinstance(held, ResponseError):
        raise held
    rows = zip(ids, held, told[::2], told[1::2], strict=True)
    return [_in_line(job_id, holder is not None, life, payload) for job_id, holder, life, payload in rows]


def _in_line(job_id: bytes, running: bool, life: int, payload: bytes | ResponseError) -> InLine:
    if isinstance(payload, ResponseError):  # a key of another type: none of ours
        payload = b""
    try:
        job = load_job(payload)
    except ValueError:
        job = {}
    return InLine(
        id=job_id.decode(errors="backslashreplace"),
        function=job.get("f"),
        arguments=(job["a"], job["k"]) if job else None,
        beginning=b"" if job else payload,
        running=running,
        waited=max(KEPT_MS - life, 0) / 1000 if life > 0 else None,
    )
