"""GETs of a real local HTTPS server that redirects, stalls, drips, floods and lies."""

import asyncio
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
from page_server import (
    HERE,
    Page,
    PageServer,
    bomb,
    break_off,
    drip,
    endless,
    hints,
    huge_head,
    page,
    raw,
    redirect,
    silence,
)
from waiting import eventually

from roadmap.outbound.errors import Denied, Unreached
from roadmap.outbound.fetch import INTERNET, Fetcher, Guard, open_fetcher

DOCS = "docs.roadmap.org"
LEADS_INSIDE = {"loopback.evil.org": ["127.0.0.2"], "metadata.evil.org": ["169.254.169.254"], "six.evil.org": ["::1"]}


async def test_a_page_is_asked_for_under_its_own_name_with_nothing_that_tells_about_us(
    site: PageServer, fetcher: Fetcher
) -> None:
    site.pages["/a"] = page(200, set_cookie="who=you; Secure")

    assert await fetcher.status(site.url(DOCS, "/a?b=c#d")) == 200
    assert await fetcher.status(site.url(DOCS, "/a")) == 200

    assert site.asked == [(DOCS, "/a?b=c"), (DOCS, "/a")]
    assert site.told_names == [DOCS, DOCS], "each GET has a connection of its own"
    for head in site.heads:
        assert set(head) == {"host", "user-agent", "accept", "accept-encoding", "connection"}
        assert head["user-agent"].startswith("Roadmap/")
        assert (head["accept-encoding"], head["connection"]) == ("identity", "close")


@pytest.mark.parametrize("status", [200, 204, 206, 304, 401, 403, 404, 410, 418, 429, 500, 503])
async def test_the_status_is_the_page_s(site: PageServer, fetcher: Fetcher, status: int) -> None:
    site.pages["/"] = page(status, b"" if status in {204, 304} else b"hello")

    assert await fetcher.status(site.url(DOCS)) == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/new", "new", "../new", "//www.roadmap.org:{port}/new", "/new#top"])
async def test_a_redirect_is_followed(site: PageServer, fetcher: Fetcher, status: int, location: str) -> None:
    site.pages["/old"] = redirect(location.format(port=site.port), status)
    site.pages["/new"] = page()

    assert await fetcher.status(site.url(DOCS, "/old")) == 200
    assert [path for _, path in site.asked] == ["/old", "/new"]


async def test_a_redirect_to_another_site_takes_no_cookie_along(site: PageServer, fetcher: Fetcher) -> None:
    site.pages["/old"] = page(302, b"", location=site.url("www.evil.org", "/new"), set_cookie="who=you; Path=/")
    site.pages["/new"] = page()

    assert await fetcher.status(site.url(DOCS, "/old")) == 200
    assert site.asked == [(DOCS, "/old"), ("www.evil.org", "/new")]
    assert "cookie" not in site.heads[1]


REDIRECTS_INSIDE = [
    "https://127.0.0.1/",
    "https://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "https://2130706433/",
    "https://0x7f.1:{port}/",
    "https://[::1]:{port}/",
    "https://[::ffff:7f00:1]/",
    "https://169.254.169.254/latest/meta-data/",
    "https://metadata.google.internal/",
    "https://localhost:{port}/",
    "https://loopback.evil.org:{port}/",
    "https://metadata.evil.org/latest/meta-data/",
    "https://six.evil.org/",
    "https://docs.roadmap.org:22/",
    "https://user:secret@docs.roadmap.org:{port}/",
    "https://docs.roadmap.org@127.0.0.1:{port}/",
    "http://docs.roadmap.org/",
    "http://169.254.169.254/",
    "HTTP://127.0.0.1:6379/",
    "file:///etc/passwd",
    "ftp://docs.roadmap.org/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "data:text/html,hello",
    "javascript:alert(1)",
    "\\\\127.0.0.1\\",
    "/\\127.0.0.1/",
    "https://docs.road\tmap.org:{port}/",
    "https://[broken/",
    "/" + "a" * 2_000,
]


@pytest.mark.parametrize("location", REDIRECTS_INSIDE)
async def test_a_redirect_inside_is_refused(site: PageServer, fetcher: Fetcher, location: str) -> None:
    site.names |= LEADS_INSIDE
    site.pages["/old"] = redirect(location.format(port=site.port))
    site.pages["/"] = page()

    with pytest.raises(Denied):
        await fetcher.status(site.url(DOCS, "/old"))
    assert site.asked == [(DOCS, "/old")]


@pytest.mark.parametrize("location", ["/loop", "/loop?again", "?", "#here"])
async def test_redirects_in_a_circle_end(site: PageServer, fetcher: Fetcher, location: str) -> None:
    site.pages["/loop"] = redirect(location)

    with pytest.raises(Unreached, match="more than 5 times"):
        await fetcher.status(site.url(DOCS, "/loop"))
    assert len(site.asked) == 6


async def test_five_redirects_are_followed(site: PageServer, fetcher: Fetcher) -> None:
    for number in range(5):
        site.pages[f"/{number}"] = redirect(f"/{number + 1}")
    site.pages["/5"] = page()

    assert await fetcher.status(site.url(DOCS, "/0")) == 200


async def test_a_redirect_that_says_not_where_to_is_a_status(site: PageServer, fetcher: Fetcher) -> None:
    site.pages["/"] = page(301, b"")

    assert await fetcher.status(site.url(DOCS)) == 301


async def test_what_never_ends_is_left_after_five_seconds(site: PageServer, fetcher: Fetcher) -> None:
    site.pages |= {"/silence": silence(), "/drip": drip(), "/hints": hints()}
    site.pages["/slow"] = redirect(site.url("www.roadmap.org", "/drip"))
    urls = [site.url(DOCS, path) for path in ("/silence", "/drip", "/hints", "/slow")]
    async with deaf_server() as deaf, open_fetcher(allowing(deaf.port), site.look_up, site.trust) as other:
        started = time.monotonic()
        asking = [*map(fetcher.status, urls), other.status(f"https://{DOCS}:{deaf.port}/")]
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        took = time.monotonic() - started
        await eventually(lambda: deaf.open == 0, "the connection without a handshake is closed")

    assert deaf.taken == 1
    assert [type(outcome) for outcome in outcomes] == [Unreached] * 5
    assert 4.5 < took < 15.0
    await eventually(lambda: site.open == 0, "every connection is closed")


async def test_a_look_up_counts_into_the_five_seconds(site: PageServer) -> None:
    async def hang(_: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with open_fetcher(site.guard, hang, site.trust) as fetcher:
        with pytest.raises(Unreached, match="within 5 s"):
            await fetcher.status(site.url(DOCS))


async def test_an_endless_page_is_there_and_is_read_no_further_than_a_megabyte(
    site: PageServer, fetcher: Fetcher
) -> None:
    site.pages["/"] = endless()

    assert await fetcher.status(site.url(DOCS)) == 200
    await eventually(lambda: site.open == 0, "the connection is closed")


async def test_a_page_that_would_unpack_to_a_hundred_megabytes_is_not_unpacked(
    site: PageServer, fetcher: Fetcher
) -> None:
    site.pages["/"] = bomb()

    tracemalloc.start()
    try:
        assert await fetcher.status(site.url(DOCS)) == 200
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10_000_000


NO_ANSWERS = {
    "ten megabytes of headers": huge_head(),
    "a body that breaks off": break_off(),
    "nothing at all": raw(b""),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.7\r\n"),
    "half a status line": raw(b"HTTP/1.1 2"),
    "a status that is no number": raw(b"HTTP/1.1 fine OK\r\n\r\n"),
    "a header that is none": raw(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
    "two lengths": raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"),
    "a negative length": raw(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
    "broken chunks": raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\nhello"),
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=list(NO_ANSWERS))
async def test_what_is_no_answer_says_nothing(site: PageServer, fetcher: Fetcher, answer: Page) -> None:
    site.pages["/"] = answer

    with pytest.raises(Unreached):
        await fetcher.status(site.url(DOCS))


async def test_a_certificate_for_another_name_says_nothing(site: PageServer, fetcher: Fetcher) -> None:
    with pytest.raises(Unreached, match="cannot be reached"):
        await fetcher.status(site.url("docs.python.org"))
    assert site.asked == []


async def test_a_certificate_that_nobody_vouches_for_says_nothing(site: PageServer) -> None:
    async with open_fetcher(site.guard, site.look_up) as fetcher:
        with pytest.raises(Unreached, match="cannot be reached"):
            await fetcher.status(site.url(DOCS))
    assert site.asked == []


async def test_a_port_on_which_nobody_listens_says_nothing(site: PageServer) -> None:
    with socket.create_server((HERE, 0)) as listener:
        port = listener.getsockname()[1]
    async with open_fetcher(allowing(port), site.look_up, site.trust) as fetcher:
        with pytest.raises(Unreached, match="cannot be reached"):
            await fetcher.status(f"https://{DOCS}:{port}/")


async def test_proxies_of_the_environment_are_not_asked(site: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.pages["/"] = page()

    async with open_fetcher(site.guard, site.look_up, site.trust) as fetcher:
        assert await fetcher.status(site.url(DOCS)) == 200


async def test_this_machine_s_own_server_is_out_of_reach_for_the_real_guard(site: PageServer) -> None:
    """The same server, name and trust: only the guard differs."""
    same_port = Guard(frozenset({site.port}), INTERNET.allows)
    async with open_fetcher(same_port, site.look_up, site.trust) as fetcher:
        with pytest.raises(Denied, match="public Internet"):
            await fetcher.status(site.url(DOCS))
    assert (site.asked, site.told_names) == ([], [])


async def test_a_cancellation_closes_a_connection_that_shakes_no_hands(site: PageServer) -> None:
    async with deaf_server() as deaf, open_fetcher(allowing(deaf.port), site.look_up, site.trust) as fetcher:
        asking = asyncio.create_task(fetcher.status(f"https://{DOCS}:{deaf.port}/"))
        await eventually(lambda: deaf.open == 1, "the connection is made")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await eventually(lambda: deaf.open == 0, "the connection is closed")


async def test_a_cancellation_closes_the_connection(site: PageServer, fetcher: Fetcher) -> None:
    site.pages["/"] = drip()

    asking = asyncio.create_task(fetcher.status(site.url(DOCS)))
    await eventually(lambda: site.open == 1, "the page is asked for")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await eventually(lambda: site.open == 0, "the connection is closed")


def allowing(port: int) -> Guard:
    return Guard(frozenset({port}), lambda address: str(address) == HERE)


@dataclass
class Deaf:
    """Takes connections and shakes no hands."""

    port: int = 0
    taken: int = 0
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        self.open += 1
        with suppress(ConnectionError):
            await reader.read()
        self.open -= 1
        writer.close()


@asynccontextmanager
async def deaf_server() -> AsyncIterator[Deaf]:
    deaf = Deaf()
    server = await asyncio.start_server(deaf.serve, HERE, 0)
    deaf.port = server.sockets[0].getsockname()[1]
    async with server:
        yield deaf
