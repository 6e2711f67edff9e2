"""The producer's side of the queue, and the wake-ups: nothing here raises because Redis is away."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ResponseError

from roadmap.breaker import Breaker
from roadmap.queue.connection import FAULTS, back_off, open_client
from roadmap.queue.line import InLine, Line, read_jobs, read_line
from roadmap.queue.model import KEPT_MS, PLACE_MS, Job, first_place
from roadmap.queue.observer import Nobody, Observer
from roadmap.queue.usage import Usage, read_gates, read_usage
from roadmap.queue.wake import WAKE_LUA, wake_key

__all__ = ["Queue", "Script", "open_queue"]

log = structlog.get_logger()

T = TypeVar("T")
Script = Callable[[Sequence[str], Sequence[str | int | float]], Awaitable[Any | None]]

_CONNECTIONS = 16
_JOBS_A_CALL = 500
_PING_SECONDS = 0.5
_LOOK_SECONDS = 1.0
_LISTEN_SECONDS = 5.0
_SILENCE_SECONDS = 20.0

# KEYS: queue, wake list, one payload key per job. ARGV: where by the clock a learner stands who waits for nothing, then
# five per job: id, score, 1 if it stands in its learner's line, life in ms, payload.
# Who waits for nothing stands a place behind the front of the queue (running jobs are in it too), however long ago the
# others came: a slow model must not turn a second's worth of line into the wait of an hour.
# The duplicate check asks the sorted set, where running jobs stay: a payload key without an entry (its worker died in
# the wrong moment) would block its id for days. A job is written whole or not at all: when Redis is full the first
# write of the script fails.
# Answers with a 1 or a 0 per job: whether it was added.
# A few tokens wake a few workers; a worker that finds more than it can take passes the wake-up on.
_OFFER = f"""
{WAKE_LUA}
local front = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
local lead = front and math.max(0, ARGV[1] - front - {PLACE_MS}) or 0
local added, outcome = 0, {{}}
for i = 3, #KEYS do
  local at = (i - 3) * 5 + 1
  outcome[i - 2] = 0
  if not redis.call('ZSCORE', KEYS[1], ARGV[at + 1]) then
    redis.call('PSETEX', KEYS[i], ARGV[at + 4], ARGV[at + 5])
    redis.call('ZADD', KEYS[1], ARGV[at + 2] - ARGV[at + 3] * lead, ARGV[at + 1])
    added, outcome[i - 2] = added + 1, 1
  end
end
if added > 0 then wake(KEYS[2], math.min(added, 8), '') end
return outcome
"""

# Of `recent_depth`.
_RECENT_SECONDS = 1.0


class Queue:
    """Offers jobs and tells listeners. Every call ends within its time-out, at once while the breaker is open."""

    def __init__(self, url: str, client: Redis, namespace: str, timeout: float, observer: Observer) -> None:
        self._url = url
        self._client = client
        self._namespace = namespace
        self._timeout = timeout
        self._observer = observer
        self._breaker = Breaker(faults=3, first_pause=1.0, longest_pause=5.0)
        # Waiting for a connection happens here and not in the pool, whose locks do not love cancellation.
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._offer = client.register_script(_OFFER)
        self._depths: dict[str, tuple[float, int | None]] = {}  # when they were asked for, and the answers
        self._looked: tuple[float, int] | None = None  # when its usage was asked for, and its commands until then

    async def offer(self, queue: str, jobs: Sequence[Job]) -> bool:
        """Enqueues the jobs whose ids are neither queued nor running. False: not all of them, the sweeper will."""
        for start in range(0, len(jobs), _JOBS_A_CALL):
            some = jobs[start : start + _JOBS_A_CALL]
            keys, args = _arguments(self.key(queue), some)
            added: list[int] | None = await self._call("offer", partial(self._offer, keys, args))
            if added is None:
                return False
            self._tell(some, added)
        return True

    def _tell(self, jobs: Sequence[Job], added: Sequence[int]) -> None:
        counted = Counter(job.function for job, is_new in zip(jobs, added, strict=True) if is_new)
        for function, count in counted.items():
            self._observer.offered(function, count)

    async def notify(self, channel: str, message: str) -> bool:
        """Tells whoever listens just now; False when Redis did not take it."""
        return await self._call("notify", lambda: self._client.publish(self.key(channel), message)) is not None

    async def depth(self, queue: str) -> int | None:
        """Jobs queued, deferred and running; None when Redis is away."""
        return await self._call("depth", lambda: self._client.zcard(self.key(queue)))

    async def recent_depth(self, queue: str) -> int | None:
        """The depth as it was within the last second, or when it was asked for last: one look a second, however many
        callers there are. None when Redis was away."""
        asked_at, depth = self._depths.get(queue, (-_RECENT_SECONDS, None))
        now = time.monotonic()
        if now - asked_at < _RECENT_SECONDS:
            return depth
        self._depths[queue] = (now, depth)
        depth = await self.depth(queue)
        self._depths[queue] = (now, depth)
        return depth

    def script(self, step: str, lua: str) -> Script:
        """A Lua script as a function of keys (which get the namespace) and arguments. It answers None when Redis is
        away, so the script must not. `step` names it in diagnostics."""
        registered = self._client.register_script(lua)

        async def run(keys: Sequence[str], arguments: Sequence[str | int | float]) -> Any | None:
            return await self._call(step, partial(registered, [self.key(key) for key in keys], arguments))

        return run

    async def line(self, queue: str) -> Line | None:
        """How it stands there, for operators. None when Redis is away."""
        return await self._look("line", partial(read_line, self._client, self.key(queue)))

    async def jobs(self, queue: str, limit: int) -> list[InLine] | None:
        """The first in line, for operators; None when Redis is away."""
        return await self._look("jobs", partial(read_jobs, self._client, self.key(queue), limit))

    async def usage(self) -> Usage | None:
        """What Redis uses; None when it is away."""
        now = time.monotonic()
        usage = await self._look("usage", partial(read_usage, self._client))
        if usage is None:
            return None
        before, self._looked = self._looked, (now, usage.commands)
        if before is None or usage.commands < before[1]:  # it was started anew
            return usage
        return replace(usage, commands_per_second=(usage.commands - before[1]) / max(now - before[0], 0.001))

    async def gates(self) -> dict[str, int] | None:
        """Calls to models that are under way, of all processes, by the limiter's name; None when Redis is away."""
        return await self._look("gates", partial(read_gates, self._client, self.key("")))

    async def claim(self, name: str, value: str) -> str | None:
        """Sets a key unless it is set, and returns what it holds now; None when Redis is away."""
        await self._call("claim", lambda: self._client.set(self.key(name), value, nx=True))
        held = await self._call("claim", lambda: self._client.get(self.key(name)))
        return None if held is None else str(held, "utf-8", "replace")

    async def ping(self) -> bool:
        """Whether Redis answers within 500 ms; asks it, whatever the breaker thinks."""
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await self._client.ping()
        except FAULTS:
            return False
        self._breaker.succeeded()
        return True

    async def listen(self, channel: str) -> AsyncGenerator[str | None, None]:
        """Messages of a channel, for ever, on a connection of its own.

        None comes first and after each reconnect: what was said in between is lost, so look for yourself. Close the
        iterator (`aclosing`) when you leave it early.
        """
        attempt = 0
        while True:
            try:
                async with self._subscription(self.key(channel)) as subscription:
                    attempt = 0
                    yield None
                    while True:
                        yield await _next_message(subscription)
            except FAULTS as exc:
                pause = back_off(attempt)
                log.warning("subscription_lost", channel=channel, error=type(exc).__name__, retry_in=round(pause, 2))
            attempt += 1
            await asyncio.sleep(pause)

    def key(self, name: str) -> str:
        """The queue's or channel's name in Redis."""
        return f"{self._namespace}:{name}" if self._namespace else name

    async def _look(self, step: str, command: Callable[[], Awaitable[T]]) -> T | None:
        """As `_call`, of many commands and for operators, who would rather wait."""
        return await self._call(step, command, _LOOK_SECONDS)

    async def _call(self, step: str, command: Callable[[], Awaitable[T]], within: float = 0.0) -> T | None:
        """The answer, or None and a line in diagnostics (none while the breaker is open)."""
        if not self._breaker.allows():
            return None
        try:
            async with asyncio.timeout(within or self._timeout), self._slots:
                answer = await command()
        except ResponseError as exc:
            # Full, read-only, no permission: it refuses, but it is there and quick.
            self._breaker.succeeded()
            log.warning("redis_refused", step=step, error=type(exc).__name__, detail=str(exc))
            return None
        except FAULTS as exc:
            self._breaker.failed()
            log.warning("redis_away", step=step, error=type(exc).__name__, detail=str(exc))
            return None
        self._breaker.succeeded()
        return answer

    @asynccontextmanager
    async def _subscription(self, key: str) -> AsyncIterator[PubSub]:
        client = open_client(self._url, timeout=_LISTEN_SECONDS, size=1, resend=False)
        subscription = client.pubsub()
        try:
            async with asyncio.timeout(_LISTEN_SECONDS):
                await subscription.subscribe(key)
                await subscription.get_message(timeout=None)  # the confirmation
            yield subscription
        finally:
            await subscription.aclose()  # type: ignore[no-untyped-call]
            await client.aclose()


@asynccontextmanager
async def open_queue(
    url: str, *, namespace: str = "", timeout: float = 0.3, observer: Observer | None = None
) -> AsyncIterator[Queue]:
    """A queue that connects when first used: Redis may be away. `timeout` in seconds, for a whole call. `observer`
    hears what was added."""
    client = open_client(url, timeout=max(timeout, _PING_SECONDS), size=_CONNECTIONS)
    try:
        yield Queue(url, client, namespace, timeout, observer or Nobody())
    finally:
        await client.aclose()


def _arguments(queue: str, jobs: Sequence[Job]) -> tuple[list[str], list[Any]]:
    now_ms = time.time_ns() // 1_000_000
    keys = [queue, wake_key(queue), *(f"arq:job:{job.id}" for job in jobs)]
    args: list[Any] = [first_place(now_ms)]
    for job in jobs:
        life = KEPT_MS + int(job.delay * 1000)
        args += [job.id, job.score(now_ms), int(job.in_line), life, job.payload(now_ms)]
    return keys, args


async def _next_message(subscription: PubSub) -> str:
    """Waits for the next message. Raises TimeoutError when the server stays silent even when asked."""
    asked = False
    while True:
        message = await subscription.get_message(timeout=_LISTEN_SECONDS if asked else _SILENCE_SECONDS)
        if message is None and asked:
            raise TimeoutError("the subscription is dead")
        if message is None:
            async with asyncio.timeout(_LISTEN_SECONDS):
                await subscription.ping()
            asked = True
            continue
        if message["type"] == "message":
            return str(message["data"], "utf-8", "replace")
        asked = False
