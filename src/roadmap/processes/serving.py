"""One process from its start to its exit, whatever it serves."""

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress

import structlog

from roadmap import __version__
from roadmap.heartbeat import Process
from roadmap.metrics import Metrics
from roadmap.probes.door import Door, create_app
from roadmap.probes.listening import open_socket
from roadmap.probes.readiness import Readiness
from roadmap.probes.server import serve_beside
from roadmap.processes.hibernation import LOOK_AGAIN, Hibernation, plan_hibernation, release_memory
from roadmap.processes.house import House, Role
from roadmap.runtime import name_of_place, open_runtime
from roadmap.settings import Settings
from roadmap.signals import Stop, until_signal
from roadmap.watchdog import Watchdog, open_watchdog

__all__ = ["serve"]

log = structlog.get_logger()


@until_signal
async def serve(stop: Stop, settings: Settings, *roles: Role) -> None:
    """Serves the roles until SIGTERM or SIGINT. One that ends by an error ends the others in order, and decides the
    exit code. Raises Misconfigured before anything is open, or what a role raises."""
    names = [role.process for role in roles]
    hibernation = plan_hibernation(settings, names)
    with _open_socket(settings, names) as listener:
        # Where there is an API, it answers for the whole process.
        beside = None if Process.WEB in names else listener
        async with open_watchdog(settings.watchdog) as watchdog:
            life = _Life(settings, roles, hibernation, watchdog, listener)
            async with serve_beside(create_app(life.door), beside):
                await life.lead(stop)


def _open_socket(
    settings: Settings, names: Sequence[Process]
) -> AbstractContextManager[socket.socket] | AbstractContextManager[None]:
    """A worker has one only when it is told a port: several may stand on one machine."""
    if Process.WEB in names or settings.names_port:
        return open_socket(settings.host, settings.port)
    return nullcontext()


class _Life:
    """Of a process, between its socket and its exit. `door`: what it answers on its port."""

    def __init__(
        self,
        settings: Settings,
        roles: Sequence[Role],
        hibernation: Hibernation | None,
        watchdog: Watchdog,
        listener: socket.socket | None,
    ) -> None:
        self.door = Door(hibernation.woken if hibernation else None)
        self._settings = settings
        self._roles = roles
        self._names = [role.process for role in roles]
        self._hibernation = hibernation
        self._watchdog = watchdog
        self._listener = listener
        self._place = name_of_place()
        # It counts on after a sleep: to a scraper it is the same process.
        self._metrics = Metrics(__version__)

    async def lead(self, stop: Stop) -> None:
        """Awake until it is asked to stop, or may sleep; asleep until it is woken. One that is told to end in its sleep
        leaves its row: its host may start it again for whoever asks at its address."""
        await self._be_awake(stop)
        while self._hibernation and self._hibernation.asked and not stop.asked:
            if self._hibernation.asleep:
                await self._sleep(self._hibernation, stop)
            if not stop.asked:  # it was woken, or its row does not say that it sleeps
                await self._be_awake(stop)

    async def _be_awake(self, stop: Stop) -> None:
        door = self.door
        async with open_runtime(self._settings, *self._names, place=self._place, metrics=self._metrics) as runtime:
            runtime.metrics.watch_loop(lambda: self._watchdog.lag)
            readiness = Readiness(runtime.db, runtime.queue, self._names)
            door.runtime, door.readiness = runtime, readiness
            house = House(runtime, self._watchdog, readiness, self._listener, self._hibernation)
            try:
                await _serve_together(self._roles, house, stop)
            finally:
                door.runtime = door.readiness = None

    async def _sleep(self, hibernation: Hibernation, stop: Stop) -> None:
        """Nothing is open but the port."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  it runs
        began = time.monotonic()
        self.door.hibernating = True
        stop.by(hibernation.woken.set)
        release_memory()
        log.info("hibernating")
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN):
                await hibernation.woken.wait()
        self.door.hibernating = False
        if stop.asked:
            return  # nothing is left to be cancelled by one more signal
        stop.by(task.cancel)
        log.info("waking", seconds=round(time.monotonic() - began, 1))


async def _serve_together(roles: Sequence[Role], house: House, stop: Stop) -> None:
    """Until all have ended. Whoever ends, asked or not, ends all; raises what the first of them raised."""
    serving, stops = _begin(roles, house)
    asked = asyncio.Event()

    def stop_all() -> None:
        asked.set()
        house.readiness.leave()
        for part in stops:
            part()

    stop.by(stop_all)
    try:
        first, others = await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
        if not asked.is_set():
            stop_all()
        if others:
            await asyncio.wait(others)
    finally:
        await _end(serving)
    _raise_first([*first, *others])


def _begin(roles: Sequence[Role], house: House) -> tuple[list[asyncio.Task[None]], list[Stop]]:
    stops = [Stop() for _ in roles]
    serving = [asyncio.create_task(role.serve(house, part)) for role, part in zip(roles, stops, strict=True)]
    for part, task in zip(stops, serving, strict=True):
        part.by(task.cancel)
    return serving, stops


async def _end(serving: Sequence[asyncio.Task[None]]) -> None:
    """What still runs, when whoever awaits it was cancelled."""
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


def _raise_first(ended: Sequence[asyncio.Task[None]]) -> None:
    for task in ended:
        if not task.cancelled():
            task.result()
