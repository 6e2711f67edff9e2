"""What happens to one job, whatever happens to it: arq's worker with the edges taken off."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC
from functools import partial
from typing import Any

import arq.worker
import structlog
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.worker import Function
from redis.exceptions import ResponseError

from roadmap.errors import Outage
from roadmap.queue.border import OnDead, guard_function, harmless, read_cause
from roadmap.queue.connection import FAULTS, back_off
from roadmap.queue.model import KEPT_MS, MOST_RAW, Unexecuted, dump_job, load_job
from roadmap.queue.observer import Nobody, Observer, Outcome, observe_function
from roadmap.queue.wake import wake

__all__ = ["Execution"]

log = structlog.get_logger()

_FOR_EVER = 10**9
_CALLBACK_SECONDS = 10.0
# How Redis says that a payload's key holds something else.
_WRONG_TYPE = "WRONGTYPE"


class Execution(arq.worker.Worker):
    """Runs a claimed job to one of its ends: finished, due again, handed back, or dead and reported.

    `lease` is in seconds; `on_dead` and `options` are as in `Worker`. `observer` hears how jobs end.
    """

    def __init__(
        self,
        functions: Sequence[Function | Callable[..., Coroutine[Any, Any, Any]]],
        *,
        redis_pool: ArqRedis,
        lease: float,
        on_dead: OnDead,
        observer: Observer | None = None,
        **options: Any,
    ) -> None:
        if options.get("job_timeout", 0) is None:
            raise ValueError("a job must end some day: job_timeout must be finite")
        super().__init__(functions, redis_pool=redis_pool, **(_settings(redis_pool) | options))
        self.in_progress_timeout_s = lease
        self._on_dead = on_dead
        self._observer = observer or Nobody()
        self._stopping = asyncio.Event()
        self._guard_callbacks()

    async def run_job(self, job_id: str, score: int) -> None:
        """arq's, but it never raises: whatever happens to one job is no reason to end the others."""
        try:
            await super().run_job(job_id, score)
        except asyncio.CancelledError:
            # Before or after the function, where arq does not expect it: the entry must not wait for its lease.
            await asyncio.shield(self._release(job_id))
            raise
        except FAULTS as exc:
            log.warning("job_left_to_its_lease", job_id=job_id, error=type(exc).__name__, detail=str(exc))
            if _WRONG_TYPE in str(exc):
                await self._bury(Unexecuted(job_id, None, "undecodable"))
        except Exception as exc:
            log.exception("job_crashed", job_id=job_id)
            await self._bury(Unexecuted(job_id, None, "crashed", error=exc))

    async def finish_job(self, job_id: str, finish: bool, *rest: Any) -> None:
        await self._insist(partial(super().finish_job, job_id, finish, *rest))
        if not finish:
            # It is due again, now or later: an idle worker must look when.
            await self._wake_somebody(job_id)

    async def finish_failed_job(self, job_id: str, result_data: bytes | None) -> None:
        """arq calls this for what it will not execute."""
        function, reason = read_cause(result_data)
        if reason == "expired" and await self.pool.zscore(self.queue_name, job_id) is None:
            # Redis was emptied, or the job finished elsewhere, in this very moment: nothing is wrong with it.
            await self._insist(partial(super().finish_failed_job, job_id, None))
            return
        await self._bury(Unexecuted(job_id, function, reason))

    async def _bury_stranger(self, name: bytes) -> None:
        """What stands in the queue without being text: arq could not even ask for its payload."""
        if await self._report(Unexecuted(name.decode(errors="backslashreplace"), None, "undecodable", name)):
            async with asyncio.timeout(_CALLBACK_SECONDS):
                await self.pool.zrem(self.queue_name, name)
                await self.pool.delete(job_key_prefix.encode() + name)

    async def _bury(self, dead: Unexecuted) -> None:
        if await self._report(dead):
            known = dead.function if dead.function in self.functions else "unknown"
            self._observer.finished(known or "unknown", Outcome.FAILED, None, None)
            await self._insist(partial(super().finish_failed_job, dead.job_id, None))

    async def _report_misfit(self, job_id: str, function: str) -> None:
        if not await self._report(Unexecuted(job_id, function, "arguments")):
            raise arq.worker.Retry(self.in_progress_timeout_s)

    async def _report_bug(self, job_id: str, function: str, error: Exception) -> None:
        """The job has had its try: what it left open comes back from its row, under another id."""
        await self._report(Unexecuted(job_id, function, "internal", error=error))

    async def _report(self, dead: Unexecuted) -> bool:
        """False when nobody could be told, so that the job must come again."""
        log.error("job_dead", job_id=dead.job_id, function=dead.function, reason=dead.reason)
        try:
            async with asyncio.timeout(_CALLBACK_SECONDS):
                await self._on_dead(replace(dead, raw=await self._payload(dead.job_id) or dead.raw))
        except (Outage, *FAULTS) as exc:
            log.warning("dead_job_not_recorded", job_id=dead.job_id, error=type(exc).__name__)
            return False
        except Exception:
            log.exception("on_dead_failed", job_id=dead.job_id)
        return True

    async def _payload(self, job_id: str) -> bytes:
        """The beginning of it. What is of another type has none."""
        try:
            return bytes(await self.pool.getrange(job_key_prefix + job_id, 0, MOST_RAW - 1))
        except ResponseError:
            return b""

    async def _release(self, job_id: str) -> None:
        try:
            await self.pool.delete(in_progress_key_prefix + job_id)
        except FAULTS as exc:
            log.warning("job_left_to_its_lease", job_id=job_id, error=type(exc).__name__)
        await self._wake_somebody(job_id)

    async def _wake_somebody(self, job_id: str) -> None:
        try:
            await wake(self.pool, self.queue_name, job_id)
        except FAULTS as exc:
            log.warning("wake_up_lost", error=type(exc).__name__)

    async def _insist(self, step: Callable[[], Awaitable[None]]) -> None:
        """Tries until Redis does it; while stopping only once, since the lease hands the job over anyway."""
        attempt = 0
        while True:
            try:
                return await step()
            except FAULTS as exc:
                log.warning("redis_away", error=type(exc).__name__, detail=str(exc))
                if self._stopping.is_set():
                    return None
            await asyncio.sleep(back_off(attempt))
            attempt += 1

    def _guard_callbacks(self) -> None:
        self.on_job_start = harmless(self.on_job_start)
        self.on_job_end = harmless(self.on_job_end)
        self.after_job_end = harmless(self.after_job_end)
        self.on_shutdown = harmless(self.on_shutdown)
        for name, function in self.functions.items():
            if isinstance(function, Function):
                guarded = guard_function(function, self._report_misfit, self._report_bug)
                timeout = self.job_timeout_s if function.timeout_s is None else function.timeout_s
                self.functions[name] = observe_function(guarded, self._observer, timeout)


def _settings(pool: ArqRedis) -> dict[str, Any]:
    """Instead of arq's defaults, which are traps. Attempts are counted in PostgreSQL, so tries here have no end."""
    return {
        "queue_name": pool.default_queue_name,
        "queue_read_limit": 10_000,
        "keep_result": 0,
        "max_tries": _FOR_EVER,
        "expires_extra_ms": KEPT_MS,
        "job_serializer": dump_job,
        "job_deserializer": load_job,
        "timezone": UTC,
        "log_results": False,
    }
