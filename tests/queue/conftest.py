"""A Redis of its own for each test."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis_server import RedisServer

from roadmap.queue.client import Queue, open_queue


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    running = RedisServer()
    try:
        await running.start()
        yield running
    finally:
        await running.close()


@pytest.fixture
async def queue(server: RedisServer) -> AsyncIterator[Queue]:
    # Ample for a busy machine: the time-out itself is tested with queues of its own.
    async with open_queue(server.url, timeout=2) as opened:
        yield opened


@pytest.fixture
async def blackhole() -> AsyncIterator[str]:
    """The URL of something that accepts connections and never says a word."""
    writers: list[asyncio.StreamWriter] = []

    async def swallow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    listener = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"
    finally:
        listener.close()
        for writer in writers:
            writer.transport.abort()
        await listener.wait_closed()
