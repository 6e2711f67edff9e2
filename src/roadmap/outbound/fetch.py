"""One GET of a stranger's page. A name is looked up once, every address that it leads to is judged, and a judged one is
dialled: what the name leads to a moment later does not matter."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Any

import httpx

from roadmap import __version__
from roadmap.outbound.address import Address
from roadmap.outbound.errors import Denied, Unreached
from roadmap.outbound.names import Names
from roadmap.outbound.network import IPAddress, is_public

__all__ = ["INTERNET", "Fetcher", "Guard", "LookUp", "open_fetcher"]

_PATIENCE = 5.0  # seconds for all of it, redirects included
_MOST_REDIRECTS = 5
_MOST_BYTES = 1_000_000
_REDIRECTS = {301, 302, 303, 307, 308}

LookUp = Callable[[str], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Guard:
    """What may be asked for: the ports that an address may name, and the IP addresses that its host may have."""

    ports: frozenset[int] = frozenset({443})
    allows: Callable[[IPAddress], bool] = is_public

    def read(self, url: str) -> Address:
        """Raises Denied when the spelling alone says no."""
        return Address.read(url, self.ports)

    def judge(self, found: Sequence[str]) -> list[IPAddress]:
        """Raises Denied when any of the addresses is not allowed: a name that leads to both is no accident."""
        addresses = [ip_address(text) for text in found]
        if not addresses or not all(map(self.allows, addresses)):
            raise Denied("its host is not on the public Internet")
        return addresses


INTERNET = Guard()


class Fetcher:
    """Asks without cookies, credentials, proxies or kept connections: nothing goes from one stranger to the next."""

    def __init__(self, transport: httpx.AsyncBaseTransport, look_up: LookUp, guard: Guard = INTERNET) -> None:
        self.guard = guard
        self._transport = transport
        self._look_up = look_up

    async def status(self, url: str) -> int:
        """The status of the page, after redirects; one of success once the page was read to its end, or 1 MB of it.

        Raises Denied, NoSuchName or Unreached.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._follow(url)
        except TimeoutError as exc:
            raise Unreached(f"it did not answer within {_PATIENCE:.0f} s") from exc

    async def _follow(self, url: str) -> int:
        for _ in range(_MOST_REDIRECTS + 1):
            address = self.guard.read(url)
            status, location = await self._get(address)
            if location is None:
                return status
            url = address.join(location)
        raise Unreached(f"it redirects more than {_MOST_REDIRECTS} times")

    async def _get(self, address: Address) -> tuple[int, str | None]:
        candidates = _one_of_each(self.guard.judge(await self._look_up(address.host)))
        async with AsyncExitStack() as connections:
            response = await self._dial(address, candidates, connections)
            connections.push_async_callback(response.aclose)
            try:
                return await _read(response)
            except httpx.TransportError as exc:
                raise Unreached("its answer broke off") from exc

    async def _dial(
        self, address: Address, candidates: Sequence[IPAddress], connections: AsyncExitStack
    ) -> httpx.Response:
        """The head of the first answer; the next candidate is for a machine that cannot reach the first."""
        patience = httpx.Timeout(_PATIENCE, connect=_PATIENCE / len(candidates))
        failure: httpx.TransportError | None = None
        for candidate in candidates:
            request = _request(address, candidate)
            request.extensions |= {"timeout": patience.as_dict(), "trace": _keep_in(connections)}
            try:
                return await self._transport.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
                failure = exc
            except httpx.TransportError as exc:
                raise Unreached("its answer cannot be read") from exc
        raise Unreached("it cannot be reached") from failure


@asynccontextmanager
async def open_fetcher(
    guard: Guard = INTERNET, look_up: LookUp | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[Fetcher]:
    """`context` decides whose certificates are trusted; left out: those that the system or SSL_CERT_FILE names."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    verify = context or httpx.create_ssl_context()
    async with httpx.AsyncHTTPTransport(verify=verify, limits=limits, trust_env=False) as transport:
        yield Fetcher(transport, look_up or Names().look_up, guard)


def _one_of_each(addresses: Sequence[IPAddress]) -> list[IPAddress]:
    """The best address of each family, in the order of preference."""
    first: dict[bool, IPAddress] = {}
    for address in addresses:
        first.setdefault(isinstance(address, IPv4Address), address)
    return list(first.values())


def _keep_in(connections: AsyncExitStack) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    """httpcore forgets a connection whose handshake is canceled, and a stranger decides how long that takes."""

    async def keep(event: str, told: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            connections.push_async_callback(told["return_value"].aclose)

    return keep


def _request(address: Address, candidate: IPAddress) -> httpx.Request:
    """To the judged IP address; the certificate and the header Host are those of the name."""
    return httpx.Request(
        "GET",
        httpx.URL(scheme="https", host=str(candidate), port=address.port, raw_path=address.target.encode("ascii")),
        headers={
            "Host": address.authority,
            "User-Agent": f"Roadmap/{__version__} (checks links)",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        },
        extensions={"sni_hostname": address.host},
    )


async def _read(response: httpx.Response) -> tuple[int, str | None]:
    """The status, and where it redirects to. Only of a page that is there the body is asked for."""
    location = response.headers.get("location") if response.status_code in _REDIRECTS else None
    if response.is_success:
        await _drain(response)
    return response.status_code, location


async def _drain(response: httpx.Response) -> None:
    """As it comes over the wire: what is packed is never unpacked."""
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size >= _MOST_BYTES:
            return
