"""Serves the offline provider over HTTP, for tests, benchmarks and other programs that want a model without a key."""

import asyncio
import socket

import uvicorn

from roadmap.errors import Misconfigured
from roadmap.llm.offline.app import create_app
from roadmap.llm.offline.faults import Faults

__all__ = ["serve"]

_BACKLOG = 512
_GRACE = 2


async def serve(
    port: int, *, host: str = "127.0.0.1", latency_ms: int = 0, faults: Faults | None = None, seed: int = 0
) -> None:
    """Until a signal comes or the caller cancels. Port 0 takes a free one.

    Prints one line once connections are taken: the base URL, for LLM_BASE_URL. Raises Misconfigured when the port is
    not free.
    """
    app = create_app(latency_ms=latency_ms, faults=faults, seed=seed)
    # Faults break connections on purpose; uvicorn would print a traceback for each of them.
    config = uvicorn.Config(
        app, lifespan="off", access_log=False, log_level="critical", timeout_graceful_shutdown=_GRACE
    )
    with _listen(host, port) as listener:
        print(f"offline provider: http://{host}:{listener.getsockname()[1]}/v1", flush=True)
        await _run(uvicorn.Server(config), listener)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as exc:
        raise Misconfigured(f"the offline provider cannot listen on {host}:{port}: {exc.strerror}") from exc


async def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        await server.serve(sockets=[listener])
    except asyncio.CancelledError:
        # uvicorn closes its connections on a signal only.
        if server.started:
            server.should_exit = True
            await asyncio.wait_for(server.shutdown(sockets=[listener]), 2 * _GRACE)
        raise
