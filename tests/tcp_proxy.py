"""A TCP proxy that makes the weather between a client and a server.

async with tcp_proxy("127.0.0.1", 5432) as proxy:
    url = proxy.through(database_url)
    proxy.delay(0.2)          # each chunk, both ways
    proxy.blackhole()         # accepts, and passes nothing on
    proxy.strand()            # the same for the connections that there are; new ones work
    await proxy.reset()       # a TCP reset of every connection, now
    proxy.refuse()            # the same, and no new connections
    proxy.half_close()        # to the clients the server has ended; to the server nothing has happened
    proxy.calm()              # fair weather again; what a blackhole kept goes on
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["TcpProxy", "tcp_proxy"]

CHUNK = 65_536  # what is kept of a connection and direction; the rest waits in the sockets
CONNECT_WITHIN = 10.0
NO_LINGER = struct.pack("ii", 1, 0)  # closing sends a reset instead of a farewell


class TcpProxy:
    """Made by `tcp_proxy`. What it is told holds for the connections that there are and for those to come."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._pause = 0.0
        self._passing = True
        self._talks: dict[asyncio.Task[None], _Talk] = {}
        self._listener: socket.socket | None = None
        self._place = _bind(("127.0.0.1", 0))
        self.host, self.port = self._place.getsockname()
        self._listen()

    @property
    def connections(self) -> int:
        """Open now."""
        return len(self._talks)

    def through(self, url: str) -> str:
        """The server's URL, by way of this proxy."""
        parts = urlsplit(url)
        account, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{account}{at}{self.host}:{self.port}").geturl()

    def calm(self) -> None:
        """Ends every fault. What was kept goes on, to whoever still listens."""
        self._pause = 0.0
        self._passing = True
        for talk in self._talks.values():
            talk.passing.set()
        self._listen()

    def delay(self, seconds: float) -> None:
        """Of each chunk, both ways: a chunk has up to 64 KiB, so this also bounds the throughput."""
        self._pause = seconds

    def blackhole(self) -> None:
        """Connections are accepted, and nothing is said; those that there are stall. `calm` lets all of it go on."""
        self._passing = False
        self.strand()

    def strand(self) -> None:
        """Only the connections that there are stall, as behind a gateway that forgot them."""
        for talk in self._talks.values():
            talk.passing.clear()

    async def reset(self) -> None:
        """Returns when every connection that there was is gone. New ones are welcome."""
        talks = list(self._talks)
        self._cut()
        await asyncio.gather(*talks, return_exceptions=True)

    def refuse(self) -> None:
        """Cuts by reset, and refuses new connections until `calm`."""
        self._deafen()
        self._place.close()
        # Bound and not listening: nobody else gets the port, and whoever knocks is refused.
        self._place = _bind((self.host, self.port))
        self._cut()

    def half_close(self) -> None:
        """The clients read an end. What the server still says is lost; what they say still reaches it."""
        for talk in self._talks.values():
            talk.half_close()

    async def close(self) -> None:
        self._deafen()
        self._place.close()
        await self.reset()

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = self._place
            self._listener.listen(1024)
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _deafen(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener = None

    def _accept(self) -> None:
        with suppress(OSError):  # who knocked may be gone already
            accepted, _ = self._place.accept()
            accepted.setblocking(False)
            talk = _Talk(accepted, passing=self._passing)
            task = asyncio.ensure_future(self._serve(talk))
            self._talks[task] = talk
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        # Not at the end of the task itself: one that is cancelled before it began has no end of its own.
        self._talks.pop(task).cut()

    def _cut(self) -> None:
        for task, talk in self._talks.items():
            talk.cut()
            task.cancel()

    async def _serve(self, talk: "_Talk") -> None:
        with suppress(OSError):
            await talk.open_near()
            await talk.passing.wait()
            await talk.open_far(self._target)
            near, far = talk.sides
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(talk, near, far))
                group.create_task(self._pass_on(talk, far, near))
            await talk.close()

    async def _pass_on(self, talk: "_Talk", source: "_Side", sink: "_Side") -> None:
        """Until the source ends, which the sink is told. A connection that breaks on one side is broken on both."""
        try:
            while chunk := await source.reader.read(CHUNK):
                if self._pause:
                    await asyncio.sleep(self._pause)
                await talk.passing.wait()
                await sink.send(chunk)
            await talk.passing.wait()
            sink.end()
        except OSError:
            talk.cut()


@dataclass(slots=True)
class _Side:
    """Towards the client, or towards the server. After its `end` there is nobody who could be told anything."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ended: bool = False

    async def send(self, chunk: bytes) -> None:
        if not self.ended:
            self.writer.write(chunk)
            await self.writer.drain()

    def end(self) -> None:
        if not self.ended and not self.writer.is_closing():
            self.ended = True
            self.writer.write_eof()

    def cut(self) -> None:
        if not self.writer.is_closing():
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.writer.transport.abort()


class _Talk:
    """One connection: the client's side, and then the server's."""

    def __init__(self, accepted: socket.socket, *, passing: bool) -> None:
        self._accepted: socket.socket | None = accepted
        self.sides: list[_Side] = []
        self.passing = asyncio.Event()
        if passing:
            self.passing.set()

    async def open_near(self) -> None:
        accepted, self._accepted = self._accepted, None  # the loop closes it from now on
        self.sides.append(_Side(*await asyncio.open_connection(sock=accepted)))

    async def open_far(self, target: tuple[str, int]) -> None:
        async with asyncio.timeout(CONNECT_WITHIN):
            self.sides.append(_Side(*await asyncio.open_connection(*target)))

    def half_close(self) -> None:
        with suppress(OSError):  # the client may have gone in this moment
            for side in self.sides[:1]:
                side.end()

    def cut(self) -> None:
        """By a reset on both sides; what has ended in order is left at that."""
        for side in self.sides:
            side.cut()
        if self._accepted is not None:
            self._accepted.close()

    async def close(self) -> None:
        """In order: what was sent arrives."""
        for side in self.sides:
            side.writer.close()
            await side.writer.wait_closed()


def _bind(address: tuple[str, int]) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setblocking(False)
    bound.bind(address)
    return bound


@asynccontextmanager
async def tcp_proxy(host: str, port: int) -> AsyncIterator[TcpProxy]:
    """On a port of 127.0.0.1, in front of that server. Leaving cuts what is open, and no task is left."""
    proxy = TcpProxy((host, port))
    try:
        yield proxy
    finally:
        await proxy.close()
