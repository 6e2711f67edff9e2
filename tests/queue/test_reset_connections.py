"""A connection that is reset after the pool has looked at it, and before the command is sent."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop
from redis_server import RedisServer
from tcp_proxy import tcp_proxy
from waiting import eventually

from roadmap.queue.connection import FAULTS, open_client
from roadmap.queue.pool import arq_pool, blocking_client

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
CLIENTS: dict[str, Callable[[str], Any]] = {
    "ours": lambda url: open_client(url, timeout=2, size=1),
    "arq's": lambda url: arq_pool(url, "content"),
    "the blocking one": lambda url: blocking_client(arq_pool(url, "content")),
}


async def send_after_a_reset(url: str, open_any: Callable[[str], Any]) -> None:
    parts = urlsplit(url)
    async with tcp_proxy(str(parts.hostname), parts.port or 0) as proxy:
        client = open_any(proxy.through(url))
        connection = await client.connection_pool.get_connection()
        try:
            await proxy.reset()
            await eventually(connection._writer.transport.is_closing, "the reset is seen")
            await connection.send_command("PING")
            await connection.read_response()
        finally:
            await client.connection_pool.release(connection)
            await client.aclose(close_connection_pool=True)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("loop", LOOPS)
async def test_a_command_on_a_connection_that_was_just_reset_fails_by_name_if_at_all(
    server: RedisServer, loop: str, client: str
) -> None:
    def run() -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(send_after_a_reset(server.url, CLIENTS[client]))

    with suppress(FAULTS):  # a connection that was due for a health check connects again
        await asyncio.to_thread(run)
