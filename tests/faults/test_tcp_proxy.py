"""The proxy does to a connection what it says, no more, and leaves nothing behind."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from tcp_proxy import TcpProxy, tcp_proxy
from waiting import eventually

LARGE = bytes(range(256)) * 8_000  # 2 MB: more than all buffers on the way hold
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that says what it hears, and remembers it."""

    def __init__(self) -> None:
        self.heard = b""
        self.open = 0
        self.ends = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            with suppress(ConnectionError):
                while heard := await reader.read(65_536):
                    self.heard += heard
                    writer.write(heard)
                    await writer.drain()
                self.ends += 1
        finally:
            writer.transport.abort() if writer.is_closing() else writer.close()
            self.open -= 1


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[TcpProxy]:
    before = asyncio.all_tasks()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with server, tcp_proxy(*server.sockets[0].getsockname()) as opened:
        yield opened
    assert opened.connections == 0
    await eventually(lambda: echo.open == 0, "the server's connections are gone")
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}, "a task is left"


@asynccontextmanager
async def connected(proxy: TcpProxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def say(streams: Streams, words: bytes, *, within: float = 10.0) -> bytes:
    """Returns what comes back."""
    reader, writer = streams
    async with asyncio.timeout(within):
        writer.write(words)
        return await reader.readexactly(len(words))


async def hears_nothing(streams: Streams) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await streams[0].read(1)


async def test_in_calm_weather_every_byte_arrives_in_order(proxy: TcpProxy) -> None:
    async with connected(proxy) as streams:
        reader, writer = streams
        writing = asyncio.create_task(_write(writer, LARGE))
        async with asyncio.timeout(30):
            assert await reader.readexactly(len(LARGE)) == LARGE
            await writing
        assert proxy.connections == 1
    await eventually(lambda: proxy.connections == 0, "the connection is forgotten")


async def test_an_end_is_passed_on_after_all_that_was_said(proxy: TcpProxy, echo: Echo) -> None:
    async with connected(proxy) as (reader, writer):
        writer.write(b"last words")
        writer.write_eof()
        async with asyncio.timeout(10):
            assert await reader.read() == b"last words"
    await eventually(lambda: echo.ends == 1, "the server sees the end")


async def test_a_delay_holds_up_each_way(proxy: TcpProxy) -> None:
    async with connected(proxy) as streams:
        assert await say(streams, b"quick") == b"quick"
        proxy.delay(0.15)
        began = time.monotonic()
        assert await say(streams, b"slow") == b"slow"
        assert time.monotonic() - began >= 0.3
        proxy.calm()
        assert await say(streams, b"quick") == b"quick"


async def test_a_blackhole_keeps_what_was_said_until_it_is_calm(proxy: TcpProxy, echo: Echo) -> None:
    async with connected(proxy) as old:
        assert await say(old, b"before ") == b"before "
        proxy.blackhole()
        async with connected(proxy) as new:
            for streams in (old, new):
                streams[1].write(b"kept")
                await hears_nothing(streams)
            assert echo.heard == b"before "
            proxy.calm()
            async with asyncio.timeout(10):
                assert [await streams[0].readexactly(4) for streams in (old, new)] == [b"kept", b"kept"]


async def test_a_blackhole_takes_in_no_more_than_its_buffers_hold(proxy: TcpProxy, echo: Echo) -> None:
    proxy.blackhole()
    async with connected(proxy) as (reader, writer):
        writing = asyncio.create_task(_write(writer, LARGE * 8))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.shield(writing)
        assert echo.heard == b""
        proxy.calm()
        async with asyncio.timeout(60):
            assert len(await reader.readexactly(len(LARGE) * 8)) == len(LARGE) * 8
            await writing


async def test_stranded_connections_stall_while_new_ones_work(proxy: TcpProxy) -> None:
    async with connected(proxy) as old:
        assert await say(old, b"x") == b"x"
        proxy.strand()
        old[1].write(b"kept")
        async with connected(proxy) as new:
            assert await say(new, b"new") == b"new"
        await hears_nothing(old)
        proxy.calm()
        async with asyncio.timeout(10):
            assert await old[0].readexactly(4) == b"kept"


async def test_a_reset_is_felt_on_both_sides_and_new_connections_are_welcome(proxy: TcpProxy, echo: Echo) -> None:
    async with connected(proxy) as streams:
        await say(streams, b"x")
        await proxy.reset()
        assert proxy.connections == 0
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(10):
                await streams[0].read(1)
    await eventually(lambda: echo.open == 0, "the server's side is cut")
    assert echo.ends == 0
    async with connected(proxy) as streams:
        assert await say(streams, b"again") == b"again"


async def test_a_reset_frees_what_a_blackhole_holds(proxy: TcpProxy, echo: Echo) -> None:
    proxy.blackhole()
    async with connected(proxy) as streams:
        streams[1].write(b"never")
        await eventually(lambda: proxy.connections == 1, "it is accepted")
        await proxy.reset()
        proxy.calm()
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(10):
                await streams[0].read(1)
    assert echo.heard == b""


async def test_who_is_refused_is_refused_until_it_is_calm_on_the_same_port(proxy: TcpProxy) -> None:
    port = proxy.port
    async with connected(proxy) as streams:
        await say(streams, b"x")
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(10):
                await streams[0].read(1)
    for _ in range(3):
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            async with connected(proxy):
                pass
    proxy.calm()
    assert proxy.port == port
    async with connected(proxy) as streams:
        assert await say(streams, b"again") == b"again"


async def test_after_a_half_close_the_client_reads_the_end_and_the_server_still_listens(
    proxy: TcpProxy, echo: Echo
) -> None:
    async with connected(proxy) as streams:
        await say(streams, b"before ")
        proxy.half_close()
        async with asyncio.timeout(10):
            assert await streams[0].read() == b""
        streams[1].write(b"after")
        await eventually(lambda: echo.heard == b"before after", "the server hears it")
        assert (echo.open, proxy.connections) == (1, 1)


async def test_a_server_that_is_away_is_a_connection_that_breaks(proxy: TcpProxy) -> None:
    async with tcp_proxy("127.0.0.1", 1) as nowhere, connected(nowhere) as streams:
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(10):
                await streams[0].read(1)


async def test_a_url_goes_through_the_proxy_with_all_that_it_says(proxy: TcpProxy) -> None:
    place = f"{proxy.host}:{proxy.port}"
    assert proxy.through("postgresql://me:pw@db:1/x?sslmode=disable") == f"postgresql://me:pw@{place}/x?sslmode=disable"
    assert proxy.through("redis://cache:6379/7") == f"redis://{place}/7"


async def _write(writer: asyncio.StreamWriter, words: bytes) -> None:
    writer.write(words)
    await writer.drain()
