"""Serves the offline provider over HTTP, for tests, benchmarks and other programs that want a model without a key."""

import asyncio
from contextlib import suppress

import uvicorn

from roadmap.errors import Misconfigured
from roadmap.llm.offline.app import create_app
from roadmap.llm.offline.faults import Faults

__all__ = ["serve"]

_START_TIMEOUT = 30.0
_POLL = 0.02
_GRACE = 2


async def serve(
    port: int, *, host: str = "127.0.0.1", latency_ms: int = 0, faults: Faults | None = None, seed: int = 0
) -> None:
    """Until a signal comes or the caller cancels. Port 0 takes a free one.

    Prints one line once it answers: the base URL, for LLM_BASE_URL. Raises Misconfigured when the port is taken.
    """
    app = create_app(latency_ms=latency_ms, faults=faults, seed=seed)
    # Faults break connections on purpose; uvicorn would print a traceback for each of them.
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        lifespan="off",
        access_log=False,
        log_level="critical",
        timeout_graceful_shutdown=_GRACE,
    )
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(_run(server, port))
        group.create_task(_announce(server, host))


async def _run(server: uvicorn.Server, port: int) -> None:
    try:
        await server.serve()
    except SystemExit as exc:
        # uvicorn ends the process when it cannot listen.
        raise Misconfigured(f"the offline provider cannot listen on port {port}") from exc
    except asyncio.CancelledError:
        server.should_exit = True
        with suppress(TimeoutError):
            await asyncio.wait_for(server.shutdown(), _GRACE)
        raise


async def _announce(server: uvicorn.Server, host: str) -> None:
    async with asyncio.timeout(_START_TIMEOUT):
        # uvicorn tells of its start by a flag only.
        while not server.started and not server.should_exit:  # noqa: ASYNC110
            await asyncio.sleep(_POLL)
    for listener in server.servers:
        port = listener.sockets[0].getsockname()[1]
        print(f"offline provider: http://{host}:{port}/v1", flush=True)
