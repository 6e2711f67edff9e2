"""What a provider allows, kept by all processes together in Redis: calls at once, requests and tokens a minute.

A call takes a slot, which is a short lease that its process renews: what a dead worker held is free again within
seconds. While Redis is away each process keeps to its own share of the limits; it never waits for Redis, and never
goes without a limit.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from roadmap.queue.client import Queue
from roadmap.queue.rates import Bucket, Rate

__all__ = ["Limiter", "Quota", "open_limiter"]

log = structlog.get_logger()

_LEASE_MS = 15_000
_RENEW_SECONDS = 5.0
# A slot that another process frees is not told of: look again.
_LOOK_SECONDS = 0.1
# When Redis is back: until all the others have told it of their calls, too.
_CAUTIOUS_SECONDS = 10.0

# In all scripts KEYS are the slots (a sorted set: call, end of its lease) and the rates (a hash: when each bucket will
# be full again); times are the server's, in ms. A bucket that is full needs no memory, so every key expires.
_CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local function full_at(name)
  return math.max(now, tonumber(redis.call('HGET', KEYS[2], name) or 0))
end
local function fill_until(name, moment)
  redis.call('HSET', KEYS[2], name, moment)
  redis.call('PEXPIRE', KEYS[2], math.max(0, math.ceil(moment - now)) + 60000)
end
"""

# ARGV: call, lease, most slots (0: any), interval and burst of requests, interval and burst of tokens, tokens.
# 0: admitted, also when it was before and the answer was lost. -1: no slot is free. Else the ms until the rates have
# room.
_ACQUIRE = f"""
{_CLOCK}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
local most = tonumber(ARGV[3])
if most > 0 and redis.call('ZCARD', KEYS[1]) >= most then return -1 end
local costs = {{requests = 1, tokens = tonumber(ARGV[8])}}
local intervals = {{requests = tonumber(ARGV[4]), tokens = tonumber(ARGV[6])}}
local bursts = {{requests = tonumber(ARGV[5]), tokens = tonumber(ARGV[7])}}
local pause = 0
for name, cost in pairs(costs) do
  local wanted = math.min(cost, bursts[name])
  pause = math.max(pause, full_at(name) - now - (bursts[name] - wanted) * intervals[name])
end
if pause > 0 then return math.ceil(pause) end
for name, cost in pairs(costs) do
  if intervals[name] > 0 then fill_until(name, full_at(name) + cost * intervals[name]) end
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[2])
return 0
"""

# ARGV: intervals of requests and tokens, then three per call: id, requests and tokens that it did not use. A call whose
# slot is gone was given up by all others and gets nothing back.
_RELEASE = f"""
{_CLOCK}
local unused = {{requests = 0, tokens = 0}}
for i = 3, #ARGV, 3 do
  if redis.call('ZREM', KEYS[1], ARGV[i]) == 1 then
    unused.requests = unused.requests + ARGV[i + 1]
    unused.tokens = unused.tokens + ARGV[i + 2]
  end
end
local intervals = {{requests = tonumber(ARGV[1]), tokens = tonumber(ARGV[2])}}
for name, amount in pairs(unused) do
  if amount * intervals[name] ~= 0 then fill_until(name, full_at(name) - amount * intervals[name]) end
end
return 0
"""

# ARGV: lease, calls. Also those that Redis does not know: it was emptied, or was away when they began.
_RENEW = f"""
{_CLOCK}
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[1])
return 0
"""


@dataclass(frozen=True, slots=True)
class Quota:
    """What a provider allows: calls at once, requests and tokens a minute; 0 for what it does not limit."""

    concurrency: int = 0
    requests: int = 0
    tokens: int = 0

    @property
    def is_set(self) -> bool:
        return bool(self.concurrency or self.requests or self.tokens)

    def share(self, replicas: int) -> "Quota":
        """What one of so many processes may use, at least one of each."""
        parts = [max(1, limit // max(1, replicas)) if limit else 0 for limit in self._limits()]
        return Quota(*parts)

    def _limits(self) -> tuple[int, int, int]:
        return self.concurrency, self.requests, self.tokens


@dataclass(slots=True)
class _Call:
    """A call of this process. `tokens`: what it is charged for. `known`: Redis may have let it in, whatever we heard.
    `here`: it was let in on our own share."""

    tokens: int
    admitted: bool = False
    known: bool = False
    here: bool = False


class Limiter:
    """Admits calls to one provider and model. Made by `open_limiter`."""

    def __init__(self, queue: Queue, name: str, quota: Quota, replicas: int) -> None:
        self._keys = (f"limits:{name}:slots", f"limits:{name}:rates")
        self._quota = quota
        self._requests, self._tokens = Rate.of(quota.requests), Rate.of(quota.tokens)
        self._acquire = queue.script("limit_acquire", _ACQUIRE)
        self._release = queue.script("limit_release", _RELEASE)
        self._renew = queue.script("limit_renew", _RENEW)
        self._calls: dict[UUID, _Call] = {}
        # Bounded by the calls of one round trip: what Redis does not take is dropped, and its leases run out.
        self._returned: list[tuple[UUID, int, int]] = []
        self._wake = asyncio.Event()
        self._freed = asyncio.Event()
        self._alone = False
        self._cautious_until = 0.0
        share = quota.share(replicas)
        self._share = share.concurrency
        self._request_share, self._token_share = Bucket(Rate.of(share.requests)), Bucket(Rate.of(share.tokens))

    async def acquire(self, call: UUID, tokens: int) -> float:
        """Lets the call in, which may take so many tokens, or returns the seconds after which to ask again. Each call
        that has asked must be released, also when it was canceled while it asked."""
        charged = min(tokens, self._quota.tokens) if self._quota.tokens else 0
        asking = self._calls.setdefault(call, _Call(charged))
        self._freed.clear()
        if self._alone and not await self._renew_all():
            return self._acquire_here(asking)
        self._tell(alone=False)
        if time.monotonic() < self._cautious_until and self._share_is_used():
            return _LOOK_SECONDS
        return await self._acquire_shared(call, asking)

    def release(self, call: UUID, tokens: int, *, asked: bool) -> None:
        """Frees the slot; `tokens` is what the call really took. A call that did not ask the model is no request."""
        left = self._calls.pop(call, None)
        if left is None or not left.known:
            return
        requests, unused = int(not asked), left.tokens - min(tokens, self._quota.tokens)
        if left.here:
            self._request_share.give_back(requests)
            self._token_share.give_back(unused)
            requests = unused = 0
        self._returned.append((call, requests, unused))
        self._wake.set()

    async def changed(self, at_most: float) -> None:
        """Waits until a call of this process was released since the last `acquire`, or so many seconds."""
        await _wait(self._freed, at_most)

    async def keep(self) -> None:
        """Returns slots at once and renews the others, for ever; `open_limiter` owns it."""
        due = time.monotonic() + _RENEW_SECONDS
        while True:
            await _wait(self._wake, due - time.monotonic())
            await self.give_back()
            if time.monotonic() >= due:
                if self._calls:
                    await self._renew_all()
                due = time.monotonic() + _RENEW_SECONDS

    async def give_back(self) -> None:
        self._wake.clear()
        returned, self._returned = self._returned, []
        if returned:
            flat = [str(part) for entry in returned for part in entry]
            await self._release(self._keys, [self._requests.interval, self._tokens.interval, *flat])
        self._freed.set()

    async def _acquire_shared(self, call: UUID, asking: _Call) -> float:
        rates: list[Any] = [self._requests.interval, self._requests.burst, self._tokens.interval, self._tokens.burst]
        arguments = [str(call), _LEASE_MS, self._quota.concurrency, *rates, asking.tokens]
        asking.known = True
        answer: int | None = await self._acquire(self._keys, arguments)
        if answer is None:
            self._tell(alone=True)
            return self._acquire_here(asking)
        asking.admitted = asking.known = answer == 0
        return _LOOK_SECONDS if answer < 0 else answer / 1000

    def _acquire_here(self, asking: _Call) -> float:
        if self._share_is_used():
            return _LOOK_SECONDS
        pause = max(self._request_share.wait(1), self._token_share.wait(asking.tokens))
        if pause > 0:
            return pause
        self._request_share.take(1)
        self._token_share.take(asking.tokens)
        asking.admitted = asking.known = asking.here = True
        return 0.0

    def _share_is_used(self) -> bool:
        return 0 < self._share <= sum(call.admitted for call in self._calls.values())

    async def _renew_all(self) -> bool:
        """False: Redis is away."""
        running = [str(call) for call, known in self._calls.items() if known.admitted]
        return await self._renew(self._keys, [_LEASE_MS, *running]) is not None

    def _tell(self, *, alone: bool) -> None:
        if alone == self._alone:
            return
        self._alone = alone
        if alone:
            log.warning("limits_not_shared", keys=self._keys[0], concurrency=self._share)
        else:
            self._cautious_until = time.monotonic() + _CAUTIOUS_SECONDS
            log.info("limits_shared_again", keys=self._keys[0])


@asynccontextmanager
async def open_limiter(queue: Queue, name: str, quota: Quota, replicas: int) -> AsyncIterator[Limiter]:
    """Limits that all processes share which say the same `name`; `replicas` is how many of them there are. The death of
    its keeper ends the process: without it slots would be lent twice."""
    limiter = Limiter(queue, name, quota, replicas)
    async with asyncio.TaskGroup() as group:
        keeper = group.create_task(limiter.keep())
        try:
            yield limiter
        finally:
            keeper.cancel()
            await limiter.give_back()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
