"""arq's worker without its traps: woken instead of polling, short leases, and no end because Redis is away."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import structlog
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.worker import Function

from roadmap.queue.border import OnDead
from roadmap.queue.connection import FAULTS, back_off
from roadmap.queue.execution import Execution
from roadmap.queue.intake import Intake
from roadmap.queue.model import Unexecuted
from roadmap.watchdog import watch_progress

__all__ = ["Throttle", "Worker"]

log = structlog.get_logger()

_CLOSING_SECONDS = 5.0
# Of the closing seconds, what a cancelled job gets: once to end, and once more when it did not hear.
_LAST_SECONDS = (2.5, 0.5)
_FALLBACK_SECONDS = 30.0
_CRON_AHEAD_SECONDS = 0.5
_THROTTLE_SECONDS = 0.1
_ANSWER_SECONDS = 5.0


class Throttle(Protocol):
    """What the jobs meet and the queue does not know: jobs that would only wait there are better left on the queue."""

    def room(self) -> int:
        """How many jobs to take now, at most."""
        ...

    def took(self, jobs: int) -> None:
        """So many were taken."""
        ...


async def _forget_dead(_: Unexecuted) -> None:
    """The default for `on_dead`: the line in diagnostics has to do."""


class Worker(Execution):
    """Serves one queue until `stop()`, SIGTERM or SIGINT; Redis may come and go.

    `lease`: seconds after which a silent worker's jobs are taken over. `grace`: seconds from the signal to the exit,
    of which running jobs get all but 5; what still runs then is cancelled and handed back. `on_dead` hears of
    jobs that cannot be executed, before they are removed; when it raises Outage they come again. It also hears of bugs.
    `ready()` is called once, when the queue has first been read. `options` are arq's. `throttle` holds jobs back.
    `main` raises Stalled when its loop no longer turns.
    """

    throttle: Throttle | None = None
    # Seconds; a turn takes little more than the fallback's half minute, whatever Redis does.
    stalled_after = 90.0

    def __init__(
        self,
        functions: Sequence[Function | Callable[..., Coroutine[Any, Any, Any]]],
        *,
        redis_pool: ArqRedis,
        lease: float = 15.0,
        grace: float = 25.0,
        on_dead: OnDead = _forget_dead,
        ready: Callable[[], None] = lambda: None,
        **options: Any,
    ) -> None:
        super().__init__(functions, redis_pool=redis_pool, lease=lease, on_dead=on_dead, **options)
        self._patience = max(grace - _CLOSING_SECONDS, 0)
        self._ready: Callable[[], None] | None = ready
        self._intake = Intake(redis_pool, self.queue_name, lease, self.queue_read_limit)
        self._freed = asyncio.Event()
        # When the loop last turned (time.monotonic()), whether Redis answered then, and when it last did.
        self.progress = self.awake = time.monotonic()
        self.worked = self.progress  # when a job began or ended last
        self.connected = False
        self._paused = False

    # ---- life ----

    async def main(self) -> None:
        self.ctx["redis"] = self.pool
        await self._unless_stopped(self._start_up())
        try:
            async with asyncio.TaskGroup() as group:
                renewals = group.create_task(self._renew_leases())
                watch = group.create_task(watch_progress(lambda: self.progress, self.stalled_after))
                await self._unless_stopped(self._serve(), patience=1)
                watch.cancel()
                await self._let_jobs_finish()
                renewals.cancel()
        finally:
            await self._hand_back()

    def stop(self) -> None:
        """Takes no more jobs and ends within the grace. May be called at any time, and again."""
        if not self._stopping.is_set():
            log.info("worker_stopping", running=len(self.tasks))
        self.allow_pick_jobs = False
        self._stopping.set()

    def pause(self, paused: bool) -> None:
        """Takes nothing from its queue while it is paused. What runs goes on; what comes waits."""
        if paused != self._paused:
            log.info("queue_paused" if paused else "queue_resumed", queue=self.queue_name, running=len(self.tasks))
        self._paused = paused
        self._freed.set()

    def handle_sig(self, signum: signal.Signals) -> None:
        """arq's, where no process around it takes the signals."""
        self.stop()

    handle_sig_wait_for_completion = handle_sig

    async def close(self) -> None:
        """Stops, waits for the end of `main`, then closes what we own. Safe to call twice."""
        self.stop()
        if self.main_task is not None:
            await asyncio.wait({self.main_task}, timeout=self._patience + _CLOSING_SECONDS)
        if self._pool is None:
            return
        if self.on_shutdown:
            await self.on_shutdown(self.ctx)
        await self._intake.close()
        await self.pool.aclose(close_connection_pool=True)
        self._pool = None

    async def record_health(self) -> None:
        """Not arq's health key: replicas share it, and each that stops deletes it. `progress` is ours."""

    async def _start_up(self) -> None:
        if self.on_startup:
            await self.on_startup(self.ctx)

    async def _let_jobs_finish(self) -> None:
        if self.tasks:
            await asyncio.wait(set(self.tasks.values()), timeout=self._patience)

    async def _hand_back(self) -> None:
        """Cancels what still runs: arq then frees the entry, and whoever is woken takes it at once."""
        count = len(self.tasks)
        # Twice, since a job may be in a library that loses the first (see `connection_options`).
        for seconds in _LAST_SECONDS:
            for task in self.tasks.values():
                task.cancel()
            if self.tasks:
                await asyncio.wait(set(self.tasks.values()), timeout=seconds)
        if count:
            log.info("jobs_handed_back", count=count - len(self.tasks), stubborn=len(self.tasks))

    # ---- the loop ----

    async def _serve(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            self.progress = time.monotonic()
            if self.connected:
                self.awake = self.progress
            try:
                await self._turn()
            except FAULTS as exc:
                self.connected = False
                pause = back_off(attempt)
                log.warning("redis_away", error=type(exc).__name__, detail=str(exc), retry_in=round(pause, 2))
                await self._unless_stopped(asyncio.sleep(pause))
                attempt += 1
            else:
                attempt = 0

    async def _turn(self) -> None:
        """Takes what is due and fits, or waits: for a free slot, or to be woken."""
        if self._paused:
            await self._wait_paused()
            return
        free = self._room()
        if free <= 0:
            self._freed.clear()
            # A throttle tells nobody when it has room again.
            at_most = _THROTTLE_SECONDS if self.throttle else _FALLBACK_SECONDS
            await self._unless_stopped(self._freed.wait(), at_most=at_most)
            return
        await self.heart_beat()
        claims = await self._intake.take(free, self.tasks.keys())
        self._tell_ready()
        for name in self._intake.take_strangers():
            await self._bury_stranger(name)
        if claims is None:
            await self._unless_stopped(self._intake.rest(self._until_cron()))
        for claim in claims or ():
            self._start(claim.job_id, claim.score)
        if self.throttle and claims:
            self.throttle.took(len(claims))

    async def _wait_paused(self) -> None:
        """Looks whether Redis is there, as every turn does."""
        self._freed.clear()
        async with asyncio.timeout(_ANSWER_SECONDS):
            await self.pool.zcard(self.queue_name)
        self._tell_ready()
        if self._paused:
            await self._unless_stopped(self._freed.wait(), at_most=_FALLBACK_SECONDS)

    def _room(self) -> int:
        free = self.max_jobs - len(self.tasks)
        return min(free, self.throttle.room()) if self.throttle else free

    def _start(self, job_id: str, score: int) -> None:
        task = self.loop.create_task(self.run_job(job_id, score), name=f"job {job_id}")
        self.tasks[job_id] = task
        task.add_done_callback(partial(self._free, job_id))

    def _free(self, job_id: str, _: "asyncio.Task[None]") -> None:
        del self.tasks[job_id]
        self.worked = time.monotonic()
        self._freed.set()

    def _tell_ready(self) -> None:
        self.connected = True
        if self._ready is not None:
            self._ready()
            self._ready = None

    def _until_cron(self) -> float:
        """Seconds until a cron job must be enqueued; what arq's `run_cron` has not planned yet is planned next time."""
        planned = [cron.next_run for cron in self.cron_jobs if cron.next_run is not None]
        if not planned:
            return _FALLBACK_SECONDS
        return (min(planned) - datetime.now(tz=UTC)).total_seconds() - _CRON_AHEAD_SECONDS

    async def _unless_stopped(
        self, work: Coroutine[Any, Any, Any], *, patience: float = 0, at_most: float | None = None
    ) -> None:
        """Awaits `work` for `at_most` so many seconds, and `patience` seconds longer than `stop()`."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stopped}, timeout=at_most, return_when=asyncio.FIRST_COMPLETED)
            if patience:
                await asyncio.wait({task}, timeout=patience)
        finally:
            stopped.cancel()
            await _end(task)
        if not task.cancelled():
            task.result()

    async def _renew_leases(self) -> None:
        """Keeps others away from our jobs. Not a loose task: without it, each long job would run twice."""
        while True:
            await asyncio.sleep(self.in_progress_timeout_s / 3)
            try:
                await self._renew(int(self.in_progress_timeout_s * 1000))
            except FAULTS as exc:
                log.warning("leases_not_renewed", jobs=len(self.tasks), error=type(exc).__name__)

    async def _renew(self, lease_ms: int) -> None:
        async with asyncio.timeout(lease_ms / 3000), self.pool.pipeline(transaction=False) as pipe:
            for job_id in self.tasks:
                pipe.pexpire(in_progress_key_prefix + job_id, lease_ms)
            await pipe.execute()


async def _end(task: "asyncio.Future[None]") -> None:
    """Cancels until it is heard: libraries lose a cancellation now and then (see `connection_options`)."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)
