"""uvicorn, with a shutdown that ends event streams before it waits for requests."""

import math
import socket
import time

import structlog
import uvicorn
from starlette.applications import Starlette

from roadmap.heartbeat import Process, Vitals, open_heartbeat
from roadmap.probes.listening import port_of
from roadmap.probes.server import Server
from roadmap.processes.house import House, Role
from roadmap.signals import Stop
from roadmap.web.app import create_app
from roadmap.web.state import WebState, open_web

__all__ = ["WEB"]

log = structlog.get_logger()

TAKES_NOTHING_MS = 10_000


class WebServer(Server):
    """Asked to leave, this process turns unready. Once a balancer had its time to notice, it says bye to the event
    streams, for which uvicorn would wait, and stops to listen."""

    def __init__(self, config: uvicorn.Config, state: WebState, drain: float) -> None:
        super().__init__(config)
        self._state = state
        self._drain = drain
        self._leaves_at = math.inf

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit and sockets:
            log.info("web_ready", port=port_of(sockets[0]))

    def leave(self) -> None:
        """May be asked again: a second time ends the drain."""
        readiness = self._state.readiness
        drains = readiness.watched and not readiness.draining
        readiness.draining = True
        if drains:
            self._leaves_at = time.monotonic() + self._drain
        else:
            self._leave()

    async def on_tick(self, counter: int) -> bool:
        """uvicorn's, ten times a second."""
        if time.monotonic() >= self._leaves_at:
            self._leave()
        return await super().on_tick(counter)

    def _leave(self) -> None:
        self._state.hub.close()
        self._state.live.close()
        self.should_exit = True


async def serve_web(house: House, stop: Stop) -> None:
    """Serves until it is asked to stop."""
    runtime, settings, listener = house.runtime, house.runtime.settings, house.listener
    if listener is None:
        raise ValueError("the API needs a socket")
    _drop_who_takes_nothing(listener)
    async with (
        open_web(runtime, house.readiness) as state,
        open_heartbeat(
            runtime.db,
            runtime.name_as(Process.WEB),
            Process.WEB,
            lambda: Vitals(house.watchdog.lag, entries=runtime.recorder.counters.entries),
        ),
    ):
        # The grace is also for the requests that are under way at the end of the drain.
        drain = min(settings.shutdown_drain, settings.shutdown_grace / 2)
        server = WebServer(
            _configure(create_app(state), settings.shutdown_grace - drain, settings.trusted_proxies), state, drain
        )
        stop.by(server.leave)
        await server.serve([listener])


WEB = Role(Process.WEB, serve_web)


def _configure(app: Starlette, grace: float, proxies: str) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=max(1, int(grace)),
        timeout_keep_alive=65,
    )


def _drop_who_takes_nothing(listener: socket.socket) -> None:
    """Its connections end when their client takes nothing any more: what is written for it waits in the system, and to
    close a connection in order waits for that."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKES_NOTHING_MS)
