"""Real local HTTPS servers that play strangers' web sites, with certificates from an authority of the test's own.

async with page_server() as site:
    site.pages["/moved"] = redirect("https://elsewhere.org/")
    async with open_fetcher(site.guard, site.look_up, site.trust) as fetcher:
        await fetcher.status(site.url("docs.roadmap.org", "/moved"))
    assert site.asked == [("docs.roadmap.org", "/moved")]

Every name leads to 127.0.0.1, where the guard lets this one server be asked; `site.names` says otherwise for some.
"""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import trustme

from roadmap.outbound.fetch import Guard
from roadmap.outbound.network import IPAddress

__all__ = [
    "HERE",
    "Page",
    "PageServer",
    "bomb",
    "break_off",
    "drip",
    "endless",
    "held",
    "hints",
    "huge_head",
    "page",
    "page_server",
    "raw",
    "redirect",
    "silence",
]

HERE = "127.0.0.1"
CERTIFIED = ("*.roadmap.org", "*.evil.org")

Page = Callable[[asyncio.StreamWriter], Awaitable[None]]


def raw(answer: bytes) -> Page:
    async def show(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return show


def page(status: int = 200, body: bytes = b"hello", **headers: str) -> Page:
    named = {"content-length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    return raw(_head(status, named) + body)


def redirect(location: str, status: int = 302) -> Page:
    return page(status, b"", location=location)


def silence() -> Page:
    """Takes the question and never answers."""

    async def show(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return show


def drip() -> Page:
    """A body that goes on for ever, a byte at a time."""
    return _for_ever(_head(200, {"content-type": "text/html"}), b".", pause=0.05)


def endless() -> Page:
    """A body that goes on for ever, as fast as the line takes it."""
    return _for_ever(_head(200, {"content-type": "text/html"}), b"." * 65_536)


def hints() -> Page:
    """Early hints for ever, and never an answer."""
    return _for_ever(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", pause=0.01)


def bomb() -> Page:
    """A hundred kilobytes that unpack to a hundred megabytes."""
    return page(200, gzip.compress(bytes(100_000_000)), content_encoding="gzip")


def huge_head() -> Page:
    """Ten megabytes of headers."""
    return raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 1_000) for n in range(10_000)) + b"\r\n")


def break_off() -> Page:
    """Promises more than it sends."""
    return raw(_head(200, {"content-length": "10000"}) + b"<html>")


def held(gate: asyncio.Event) -> Page:
    """A page that comes once the gate is open."""

    async def show(writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await page()(writer)

    return show


def _for_ever(head: bytes, piece: bytes, pause: float = 0.0) -> Page:
    async def show(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return show


def _head(status: int, headers: dict[str, str]) -> bytes:
    fields = {"content-type": "text/html", **headers}
    return "\r\n".join([f"HTTP/1.1 {status} Shown", *(f"{k}: {v}" for k, v in fields.items()), "", ""]).encode()


@dataclass(slots=True)
class PageServer:
    """`asked` are host and path of every request, `heads` their headers, `looked_up` every name; `open` and `most` are
    the requests under way now, and at most. A path that has no page is a 404."""

    port: int
    trust: ssl.SSLContext
    pages: dict[str, Page] = field(default_factory=dict)
    names: dict[str, Sequence[str]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    told_names: list[str] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    open: int = 0
    most: int = 0

    @property
    def guard(self) -> Guard:
        return Guard(frozenset({443, self.port}), _is_here)

    async def look_up(self, host: str) -> Sequence[str]:
        self.looked_up.append(host)
        return self.names.get(host, (HERE,))

    def url(self, host: str, path: str = "/") -> str:
        return f"https://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            head = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
            path = first.split(" ")[1]
            self.asked.append((head["host"].partition(":")[0], path))
            self.heads.append(head)
            self.open += 1
            self.most = max(self.most, self.open)
            try:
                await _until_left(reader, self.pages.get(path.partition("?")[0], page(404))(writer))
                await writer.drain()
            finally:
                self.open -= 1
        writer.close()


async def _until_left(reader: asyncio.StreamReader, showing: Awaitable[None]) -> None:
    """Shows the page until it is done, or nobody is there any more."""
    shown, left = asyncio.ensure_future(showing), asyncio.ensure_future(reader.read())
    try:
        await asyncio.wait({shown, left}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for half in (shown, left):
            half.cancel()
        await asyncio.gather(shown, left, return_exceptions=True)


def _is_here(address: IPAddress) -> bool:
    return str(address) == HERE


@asynccontextmanager
async def page_server(*certified: str) -> AsyncIterator[PageServer]:
    """`certified` are the names that its certificate is for."""
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(certified or CERTIFIED)).configure_cert(context)
    site = PageServer(0, trust)
    context.sni_callback = lambda _socket, name, _context: site.told_names.append(str(name))
    conversations: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            with suppress(asyncio.CancelledError):
                await site.serve(reader, writer)
        finally:
            writer.transport.abort()
            conversations.discard(task)

    server = await asyncio.start_server(serve, HERE, 0, ssl=context)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
