"""uvicorn, with our socket and a shutdown that ends event streams before it waits for requests."""

import math
import socket
import time
from types import FrameType

import structlog
import uvicorn
from starlette.applications import Starlette

from roadmap.errors import Misconfigured
from roadmap.heartbeat import Vitals, open_heartbeat
from roadmap.settings import Settings
from roadmap.signals import hand_over_signals, until_signal
from roadmap.watchdog import open_watchdog
from roadmap.web.app import create_app
from roadmap.web.state import WebState, open_web

__all__ = ["serve_web"]

log = structlog.get_logger()

TAKES_NOTHING_MS = 10_000


class Server(uvicorn.Server):
    """On the first signal this process turns unready. Once a balancer had its time to notice, it says bye to the event
    streams, for which uvicorn would wait, and stops to listen."""

    def __init__(self, config: uvicorn.Config, state: WebState, drain: float) -> None:
        super().__init__(config)
        self._state = state
        self._drain = drain
        self._leaves_at = math.inf

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit and sockets:
            log.info("web_ready", port=sockets[0].getsockname()[1])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Repeated signals are harmless, a second one ends the drain, and the exit code is 0: uvicorn's own would drop
        requests, and raise the signal again at the end."""
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
        self.should_exit = True


@until_signal
async def serve_web(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT."""
    with _listen(settings) as listener:
        async with open_watchdog(settings.watchdog) as watchdog, open_web(settings) as state:
            runtime = state.runtime
            async with open_heartbeat(runtime.db, runtime.name, runtime.process, lambda: Vitals(watchdog.lag)):
                # The grace is also for the requests that are under way at the end of the drain.
                drain = min(settings.shutdown_drain, settings.shutdown_grace / 2)
                server = Server(_configure(create_app(state), settings.shutdown_grace - drain), state, drain)
                hand_over_signals()
                await server.serve([listener])


def _configure(app: Starlette, grace: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, int(grace)),
        timeout_keep_alive=65,
    )


def _listen(settings: Settings) -> socket.socket:
    """Its connections end when their client takes nothing any more: what is written for it waits in the system, and to
    close a connection in order waits for that."""
    listener = _open_socket(settings)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKES_NOTHING_MS)
    return listener


def _open_socket(settings: Settings) -> socket.socket:
    """One socket for IPv4 and IPv6 when no HOST is set: private networks may be IPv6 only."""
    address = (settings.host, settings.port)
    try:
        if not settings.host and socket.has_dualstack_ipv6():
            return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048)
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server(address, family=family, backlog=2048)
    except OSError as exc:
        raise Misconfigured(f"cannot listen on port {settings.port}: {exc.strerror}") from exc
