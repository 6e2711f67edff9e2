"""What a worker takes from its queue, and how it rests until there is more: woken, not polling."""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix

from roadmap.queue.pool import blocking_client
from roadmap.queue.wake import wake, wake_key

__all__ = ["Claim", "Intake"]

# The longest time without looking, should every wake-up be lost.
_FALLBACK_SECONDS = 30.0
_ANSWER_SECONDS = 5.0
_SHORTEST_REST = 0.01
_PASS_ON_SECONDS = 0.5

# KEYS: queue, one in-progress key per candidate. ARGV: now in ms, lease in ms, the candidates' ids.
# Per candidate: its score when it is ours now, 0 when it runs elsewhere, -1 when it is gone or no longer due.
_CLAIM = """
local outcome = {}
for i = 2, #KEYS do
  local score = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i + 1]) or 'inf')
  if score > tonumber(ARGV[1]) then
    outcome[i - 1] = -1
  elseif redis.call('SET', KEYS[i], '1', 'PX', ARGV[2], 'NX') then
    outcome[i - 1] = math.max(1, math.floor(score))
  else
    outcome[i - 1] = 0
  end
end
return outcome
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that is ours until its lease ends. `score` is when it was due, in Unix milliseconds."""

    job_id: str
    score: int


class Intake:
    """One worker's view of one queue. Every method but `close` raises FAULTS when Redis is away.

    It has a connection of its own, on which it blocks. `lease` is in seconds.
    """

    def __init__(self, pool: ArqRedis, queue: str, lease: float, read_limit: int) -> None:
        self._pool = pool
        self._queue = queue
        self._lease = lease
        self._read_limit = read_limit
        # Any: redis-py's stubs mix its two clients, and know no fractions of a second.
        self._waiting: Any = blocking_client(pool)
        self._claim = pool.register_script(_CLAIM)
        # Running jobs stay in the sorted set: ids seen in progress elsewhere, and until when to leave them alone.
        self._elsewhere: dict[str, float] = {}
        self._next_due: float | None = None
        self._passed_on = 0.0
        self._strangers: set[bytes] = set()

    async def take(self, free: int, running: Collection[str]) -> list[Claim] | None:
        """Claims at most `free` jobs that are due. None: nothing is due that does not run already, so rest.

        An empty list means that others were quicker, and that there may be more to take.
        """
        due = await self._read(free, running)
        if not due:
            return None
        if len(due) > free:
            await self._pass_on()
        return await self._claim_all(due[:free])

    async def rest(self, at_most: float) -> None:
        """Waits for a wake-up, the next due job or the end of a lease elsewhere, `at_most` so many seconds."""
        now = time.monotonic()
        limits = [_FALLBACK_SECONDS, at_most]
        if self._next_due is not None:
            limits.append(self._next_due - time.time())
        limits += [until - now for until in self._elsewhere.values()]
        pause = max(min(limits), _SHORTEST_REST)
        async with asyncio.timeout(pause + _ANSWER_SECONDS):
            token = await self._waiting.blpop([wake_key(self._queue)], timeout=pause)
        if token is not None:
            self._elsewhere.pop(token[1].decode(errors="replace"), None)

    def take_strangers(self) -> set[bytes]:
        """Ids that are no text, and so none of a job: found since the last call."""
        found, self._strangers = self._strangers, set()
        return found

    async def close(self) -> None:
        await self._waiting.aclose()

    async def _read(self, free: int, running: Collection[str]) -> list[str]:
        """Ids that are due and not known to run: one more than `free`, if there are."""
        self._forget()
        # Known ids may all stand in front, so read past them. The blocking connection has just been in use, which
        # spares a health check.
        last = min(len(self._elsewhere) + len(running) + free, self._read_limit - 1)
        async with asyncio.timeout(_ANSWER_SECONDS):
            entries = await self._waiting.zrange(self._queue, 0, last, withscores=True)
        now_ms = time.time() * 1000
        self._next_due = next((score / 1000 for _, score in entries if score > now_ms), None)
        ids = [self._text(name) for name, score in entries if score <= now_ms]
        return [i for i in ids if i is not None and i not in running and i not in self._elsewhere]

    def _text(self, name: bytes) -> str | None:
        try:
            return name.decode()
        except UnicodeDecodeError:
            self._strangers.add(name)
            return None

    async def _claim_all(self, job_ids: Sequence[str]) -> list[Claim]:
        keys = [self._queue, *(in_progress_key_prefix + job_id for job_id in job_ids)]
        args: list[str | int] = [int(time.time() * 1000), int(self._lease * 1000), *job_ids]
        outcomes: list[int] = await self._claim(keys=keys, args=args)
        until = time.monotonic() + self._lease / 2
        self._elsewhere.update({job_id: until for job_id, score in zip(job_ids, outcomes, strict=True) if score == 0})
        return [Claim(job_id, score) for job_id, score in zip(job_ids, outcomes, strict=True) if score > 0]

    async def _pass_on(self) -> None:
        """Wakes another worker for what we cannot take, not more often than makes sense."""
        now = time.monotonic()
        if now - self._passed_on > _PASS_ON_SECONDS:
            self._passed_on = now
            await wake(self._pool, self._queue)

    def _forget(self) -> None:
        now = time.monotonic()
        self._elsewhere = {job_id: until for job_id, until in self._elsewhere.items() if until > now}
