"""uvicorn as a part of a process: it leaves signals to their owner."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
import uvicorn
from starlette.applications import Starlette

from roadmap.probes.listening import port_of

__all__ = ["Server", "serve_beside"]

log = structlog.get_logger()

_MOST_AT_ONCE = 100


class Server(uvicorn.Server):
    """Ends when `should_exit` is set."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own would take them from whoever owns this process's, and raise them again at the end."""
        yield


@asynccontextmanager
async def serve_beside(app: Starlette, listener: socket.socket | None) -> AsyncIterator[None]:
    """Serves a small application while the block runs, also while that is cancelled; without a socket it does not."""
    if listener is None:
        yield
        return
    server = Server(_configure(app))
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve([listener]))
        log.info("listening", port=port_of(listener))
        try:
            yield
        finally:
            server.should_exit = True
            await asyncio.wait({serving}, timeout=3)


def _configure(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_AT_ONCE,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=5,
    )
