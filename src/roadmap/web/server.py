"""uvicorn, with our socket and a shutdown that ends event streams before it waits for requests."""

import socket
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


class Server(uvicorn.Server):
    """An open stream would keep uvicorn waiting: on the first signal this process turns unready and says bye."""

    def __init__(self, config: uvicorn.Config, state: WebState) -> None:
        super().__init__(config)
        self._state = state

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit and sockets:
            log.info("web_ready", port=sockets[0].getsockname()[1])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Repeated signals are harmless, and the exit code is 0: uvicorn's own would drop requests, and raise the
        signal again at the end."""
        self._state.readiness.draining = True
        self._state.hub.close()
        self.should_exit = True


@until_signal
async def serve_web(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT."""
    with _listen(settings) as listener:
        async with open_watchdog(settings.watchdog) as watchdog, open_web(settings) as state:
            runtime = state.runtime
            async with open_heartbeat(runtime.db, runtime.name, runtime.process, lambda: Vitals(watchdog.lag)):
                server = Server(_configure(create_app(state), settings), state)
                hand_over_signals()
                await server.serve([listener])


def _configure(app: Starlette, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(settings.shutdown_grace),
        timeout_keep_alive=65,
    )


def _listen(settings: Settings) -> socket.socket:
    """One socket for IPv4 and IPv6 when no HOST is set: private networks may be IPv6 only."""
    address = (settings.host, settings.port)
    try:
        if not settings.host and socket.has_dualstack_ipv6():
            return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048)
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server(address, family=family, backlog=2048)
    except OSError as exc:
        raise Misconfigured(f"cannot listen on port {settings.port}: {exc.strerror}") from exc
