"""The corpus of hostile addresses: all refused, and nobody was called."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import httpx
import pytest
from hostile import LEADING_INSIDE, SPELLINGS
from hypothesis import example, given
from hypothesis import strategies as st

from roadmap.outbound.address import Address
from roadmap.outbound.errors import Denied
from roadmap.outbound.fetch import INTERNET, Fetcher
from roadmap.outbound.network import is_public

PUBLIC = "93.184.215.14"


class Dialler(httpx.AsyncBaseTransport):
    """Writes down whom it was asked to call, and calls nobody."""

    def __init__(self) -> None:
        self.dialled: list[tuple[str, str]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.dialled.append((request.url.host, str(request.extensions["sni_hostname"])))
        return httpx.Response(200, stream=httpx.ByteStream(b"hello"))


@dataclass
class Resolver:
    """Leads each name where it is told, one answer after the other."""

    answers: list[Sequence[str]]
    asked: list[str] = field(default_factory=list)

    async def look_up(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0)


def test_the_corpus_is_large() -> None:
    assert len(SPELLINGS) + len(LEADING_INSIDE) > 120


@pytest.mark.parametrize("url", SPELLINGS, ids=list(SPELLINGS.values()))
async def test_a_hostile_spelling_is_refused_before_its_name_is_looked_up(url: str) -> None:
    dialler, resolver = Dialler(), Resolver([[PUBLIC]])

    with pytest.raises(Denied):
        await Fetcher(dialler, resolver.look_up).status(url)

    assert (resolver.asked, dialler.dialled) == ([], [])


@pytest.mark.parametrize("host", LEADING_INSIDE)
async def test_a_name_that_leads_inside_is_refused_without_a_connection(host: str) -> None:
    dialler, resolver = Dialler(), Resolver([LEADING_INSIDE[host]])

    with pytest.raises(Denied, match="not on the public Internet"):
        await Fetcher(dialler, resolver.look_up).status(f"https://{host}/")

    assert (resolver.asked, dialler.dialled) == ([host], [])


async def test_a_name_that_changes_between_look_ups_is_looked_up_once_and_dialled_as_judged() -> None:
    dialler, resolver = Dialler(), Resolver([[PUBLIC], ["127.0.0.1"]])

    assert await Fetcher(dialler, resolver.look_up).status("https://rebind.evil.org/") == 200

    assert resolver.asked == ["rebind.evil.org"]
    assert dialler.dialled == [(PUBLIC, "rebind.evil.org")]


async def test_a_name_that_changes_before_a_redirect_to_itself_is_refused_there() -> None:
    class Redirecting(Dialler):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await super().handle_async_request(request)
            return httpx.Response(302, headers={"location": "/admin"})

    dialler, resolver = Redirecting(), Resolver([[PUBLIC], ["127.0.0.1"]])

    with pytest.raises(Denied):
        await Fetcher(dialler, resolver.look_up).status("https://rebind.evil.org/")
    assert dialler.dialled == [(PUBLIC, "rebind.evil.org")]


ORDINARY = {
    "https://docs.python.org": "https://docs.python.org/",
    "HTTPS://Docs.Python.ORG/3/": "https://docs.python.org/3/",
    "https://docs.python.org:443/3/#top": "https://docs.python.org/3/",
    "https://docs.python.org?q=a#b": "https://docs.python.org/?q=a",
    "https://www.w3.org/TR/?x=https://127.0.0.1/&y=a@b:22": "https://www.w3.org/TR/?x=https://127.0.0.1/&y=a@b:22",
    "https://docs.python.org//127.0.0.1/": "https://docs.python.org//127.0.0.1/",
    "https://1.1.1.1.com/": "https://1.1.1.1.com/",
    "https://127.0.0.1.nip.io/": "https://127.0.0.1.nip.io/",
    "https://xn--e1afmkfd.org/": "https://xn--e1afmkfd.org/",
    "https://пример.org/путь": "https://xn--e1afmkfd.org/%D0%BF%D1%83%D1%82%D1%8C",
    "https://中文.org/": "https://xn--fiq228c.org/",
    "https://localhost.com/": "https://localhost.com/",
    "https://a--b.co/" + "x" * 1_900: "https://a--b.co/" + "x" * 1_900,
}


@pytest.mark.parametrize("url", ORDINARY)
def test_an_ordinary_address_is_read_as_it_is_meant(url: str) -> None:
    assert str(INTERNET.read(url)) == ORDINARY[url]


def test_only_the_named_ports_are_let_through() -> None:
    assert str(Address.read("https://a.org:8443/", frozenset({8443}))) == "https://a.org:8443/"
    with pytest.raises(Denied, match="port"):
        Address.read("https://a.org/", frozenset({8443}))


# What URLs are made of, and what breaks parsers.
WORDS = (
    "https:// http:// // / \\ @ : # ? [ ] % %00 %2e . .. 127.0.0.1 ::1 localhost 0x7f docs org com python :443 :80"
    " 。 １ ß п xn--"
)
PIECES = st.one_of(st.sampled_from([*WORDS.split(" "), " ", "\t", "\n"]), st.text(max_size=3))


@given(st.lists(PIECES, max_size=12).map("".join), st.booleans())
def test_whatever_is_let_through_has_no_other_host_for_another_parser(text: str, complete: bool) -> None:
    url = f"https://docs.python.org{text}" if complete else text
    try:
        address = INTERNET.read(url)
    except Denied:
        return
    assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z][a-z0-9-]+", address.host)
    assert address.target.startswith("/")
    assert address.target.isascii()
    assert urlsplit(str(address)).hostname == httpx.URL(str(address)).raw_host.decode() == address.host
    assert (urlsplit(url).hostname or "").encode("idna").decode() == address.host
    with suppress(httpx.InvalidURL):  # of symbols in names the newer standard knows none
        assert httpx.URL(url).raw_host.decode() == address.host
    assert str(INTERNET.read(str(address))) == str(address)


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_redirect_is_judged_as_a_whole(path: str, location: str) -> None:
    try:
        start = INTERNET.read(f"https://docs.python.org/{path}")
        joined = INTERNET.read(start.join(location))
    except Denied:
        return
    assert urlsplit(str(joined)).hostname == joined.host


NUMBERS = st.integers(0, 2**32 - 1)
BASES = st.sampled_from(["{:d}", "0{:o}", "0x{:x}", "0X{:X}", "000{:o}", "0x00{:x}"])


@st.composite
def spellings_of_ipv4(draw: st.DrawFn) -> str:
    """As inet_aton reads them: one to four numbers, each in a base of its own."""
    value, parts = draw(NUMBERS), draw(st.integers(1, 4))
    leading = [value >> 24 & 255, value >> 16 & 255, value >> 8 & 255][: parts - 1]
    last = value & (2 ** (8 * (5 - parts)) - 1)
    return ".".join(draw(BASES).format(number) for number in [*leading, last])


@st.composite
def disguises(draw: st.DrawFn) -> str:
    """An IPv4 address inside an address for the web."""
    host = draw(spellings_of_ipv4())
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    dress = draw(
        st.sampled_from(["{}", "{}.", "{}:443", "user@{}", "docs.python.org@{}", "[::ffff:{}]", "{}%20", "{}。"])
    )
    spelt = draw(st.sampled_from([host, host.translate(wide), host.replace(".", "。"), host.replace(".", "%2e")]))
    return f"https://{dress.format(spelt)}/{draw(st.sampled_from(['', 'docs.python.org', '?a=b', '#.org']))}"


@given(disguises())
def test_no_spelling_of_an_ip_address_is_ever_let_through(url: str) -> None:
    with pytest.raises(Denied):
        INTERNET.read(url)


@given(NUMBERS)
@example(int(IPv4Address("8.8.8.8")))
def test_no_ipv6_address_that_carries_an_ipv4_address_is_public(number: int) -> None:
    prefixes = {
        "::": 0,
        "::ffff:0:0": 0,
        "::ffff:0:0:0": 0,
        "64:ff9b::": 0,
        "64:ff9b:1::": 0,
        "2002::": 80,
        "2001::": 0,
    }
    for prefix, shift in prefixes.items():
        assert not is_public(IPv6Address(int(IPv6Address(prefix)) | number << shift)), prefix


PRIVATE_STARTS = ("0.", "10.", "127.", "169.254.", "192.168.", "192.0.0.", "192.0.2.", "198.51.100.", "203.0.113.")


@given(NUMBERS.map(IPv4Address))
def test_an_ipv4_address_that_is_public_is_in_no_special_range(address: IPv4Address) -> None:
    if is_public(address):
        assert not str(address).startswith(PRIVATE_STARTS)
        assert address.is_global
        assert address < IPv4Address("224.0.0.0")
        assert not IPv4Address("100.64.0.0") <= address <= IPv4Address("100.127.255.255")
        assert not IPv4Address("172.16.0.0") <= address <= IPv4Address("172.31.255.255")


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", PUBLIC, "2606:4700::1111", "2a00:1450:4001:830::200e"])
def test_public_addresses_are_public(text: str) -> None:
    assert is_public(ip_address(text))


async def test_a_second_family_is_tried_when_the_first_cannot_be_reached() -> None:
    class OnlyFour(Dialler):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            if ":" in request.url.host:
                raise httpx.ConnectError("no route")
            return answer

    dialler = OnlyFour()
    resolver = Resolver([["2606:4700::1111", "2606:4700::1112", PUBLIC, "8.8.8.8"]])

    assert await Fetcher(dialler, resolver.look_up).status("https://both.org/") == 200
    assert [host for host, _ in dialler.dialled] == ["2606:4700::1111", PUBLIC]


async def test_a_cancellation_passes() -> None:
    async def hang(_: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    task = asyncio.create_task(Fetcher(Dialler(), hang).status("https://docs.python.org/"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
