"""One OpenAI-compatible endpoint over HTTP. The only module that knows httpx."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn

import httpx
import orjson
import structlog

from roadmap.errors import AnswerLost, Misconfigured, Outage, TimedOut, Unusable
from roadmap.llm.availability import Availability
from roadmap.llm.dialect import Dialect, DialectRefused
from roadmap.llm.gate import Admission, Gate
from roadmap.llm.model import Completion, Request, Spent, Usage
from roadmap.llm.refusals import failure, reason
from roadmap.llm.wire import likely_tokens, most_usage, read_completion, write_payload
from roadmap.metrics import ModelCall, ModelMetrics

__all__ = ["ASGIApp", "Endpoint", "Provider", "address_of", "open_provider"]

log = structlog.get_logger()

_Message = MutableMapping[str, Any]
ASGIApp = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]
]

_OPENAI = "https://api.openai.com/v1"
_CONNECT_TIMEOUT = 5.0
_MOST_BYTES = 4 * 1024 * 1024
_LANE_WIDTH = 10  # connections
_HANDED_OVER = {"connection.start_tls.complete", "http11.send_request_headers.started"}
# What fails before a question was asked costs nothing.
_UNREACHED = (httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ConnectError, httpx.ProxyError)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the model is. `timeout` in seconds for a whole call; prices in micro-dollars for a million tokens.

    `app` is served inside this process instead of `base_url` (the offline provider).
    """

    model: str
    base_url: str = _OPENAI
    api_key: str = field(default="", repr=False)
    timeout: float = 120.0
    connections: int = 100
    input_price: int = 0
    output_price: int = 0
    app: ASGIApp | None = None


@dataclass(slots=True)
class _Lane:
    """A client with a small pool, and its calls of this moment.

    httpcore's pool looks at every connection for every connection, at each request and at each end of one: with 200
    in one pool that was half of a content worker's processor time (decision 8).
    """

    client: httpx.AsyncClient
    busy: int = 0


class Provider:
    """One endpoint and its connections. `dialect` is what it was found to understand; `gate` keeps its limits, None: it
    has none. `metrics` hears of calls, None: nobody does."""

    def __init__(
        self,
        endpoint: Endpoint,
        lanes: Sequence["_Lane"],
        url: httpx.URL,
        gate: Gate | None,
        metrics: ModelMetrics | None,
    ) -> None:
        self.name = "offline" if endpoint.app else url.host
        self.model = endpoint.model
        self.dialect = Dialect()
        self.gate = gate
        self._metrics = metrics
        self._availability = Availability(self.name)
        self._endpoint = endpoint
        self._lanes = lanes
        self._url = url

    @asynccontextmanager
    async def admit(self, request: Request) -> AsyncIterator[Admission]:
        """Around a call of `complete`: waits until the limits have room for it.

        Raises NotYet when there is none for long, and Outage while the provider is away.
        """
        self._availability.check(request.run_id)
        if self.gate is None:
            with self._enter(request, Admission(0)) as admission:
                yield admission
            return
        async with self.gate.admit(likely_tokens(request)) as admitted:
            with self._enter(request, admitted) as admission:
                yield admission

    @contextmanager
    def _enter(self, request: Request, admission: Admission) -> Iterator[Admission]:
        probed = self._availability.enter(request.run_id)
        try:
            yield admission
        finally:
            if not admission.asked:
                self._availability.leave_unasked(probed)

    async def complete(self, request: Request) -> Completion:
        """One HTTP call, never repeated here.

        Raises Outage (away), Busy, AnswerLost (too slow, cut off, garbled), DialectRefused (ask again in its `weaker`
        dialect) or Unusable.
        """
        with self._availability.watch(request.run_id):
            status, headers, body = await self._post(request)
            if status != 200:
                self._refuse(status, headers, body, request)
            completion = read_completion(body, request)
        self.dialect = self.dialect.joined(request.dialect)
        return completion

    def price(self, usage: Usage) -> int:
        """Micro-dollars, rounded up."""
        millionths = usage.input_tokens * self._endpoint.input_price + usage.output_tokens * self._endpoint.output_price
        return (millionths + 999_999) // 1_000_000

    def tell(self, spent: Spent) -> None:
        """Counts a call that has ended."""
        if self._metrics is not None:
            seconds, error = spent.latency_ms / 1000, spent.error or ""
            self._metrics.observe(
                ModelCall(
                    self.name, self.model, seconds, spent.input_tokens, spent.output_tokens, spent.cost_micros, error
                )
            )

    def most(self, request: Request) -> int:
        """Micro-dollars that the call can cost at most."""
        if not self._endpoint.input_price and not self._endpoint.output_price:
            return 0
        return self.price(most_usage(self.model, request))

    async def _post(self, request: Request) -> tuple[int, httpx.Headers, bytes]:
        content = orjson.dumps(write_payload(self.model, request))
        headers = {"X-Purpose": request.purpose}
        try:
            # httpx times each read alone: only the outer limit ends an answer that drips.
            async with (
                asyncio.timeout(self._endpoint.timeout),
                self._take_lane() as client,
                AsyncExitStack() as handshake,
                client.stream(
                    "POST", self._url, content=content, headers=headers, extensions={"trace": _keep_in(handshake)}
                ) as response,
            ):
                return response.status_code, response.headers, await _read(response)
        except _UNREACHED as exc:
            raise Outage("the model's provider cannot be reached", retry_in=5) from exc
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise TimedOut("the model did not answer in time", retry_in=10) from exc
        except (httpx.RequestError, OSError) as exc:
            raise AnswerLost("the model's provider cannot be reached", retry_in=5) from exc

    @asynccontextmanager
    async def _take_lane(self) -> AsyncIterator[httpx.AsyncClient]:
        lane = min(self._lanes, key=lambda lane: lane.busy)
        lane.busy += 1
        try:
            yield lane.client
        finally:
            lane.busy -= 1

    def _refuse(self, status: int, headers: httpx.Headers, body: bytes, request: Request) -> NoReturn:
        complaint = body[:10_000].decode("utf-8", "replace")
        log.warning("model_call_failed", provider=self.name, model=self.model, status=status, reason=reason(complaint))
        if status in {400, 422}:
            weaker = request.dialect.after_refusal(complaint, structured=request.shape is not None)
            if weaker is not None:
                raise DialectRefused(weaker)
        raise failure(status, headers, datetime.now(UTC))


@asynccontextmanager
async def open_provider(
    endpoint: Endpoint, gate: Gate | None = None, metrics: ModelMetrics | None = None
) -> AsyncIterator[Provider]:
    """Raises Misconfigured for an address or a key that no request could carry."""
    url = address_of(endpoint)
    # `identity`: an answer is small, and the limit on its bytes then holds before anything is unpacked.
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if endpoint.api_key:
        headers["Authorization"] = f"Bearer {_printable(endpoint.api_key)}"
    open_client = partial(
        httpx.AsyncClient,
        headers=headers,
        timeout=httpx.Timeout(endpoint.timeout, connect=_CONNECT_TIMEOUT),
        limits=httpx.Limits(max_connections=_LANE_WIDTH, max_keepalive_connections=_LANE_WIDTH),
        verify=httpx.create_ssl_context(),  # costs 20 ms, once
    )
    async with AsyncExitStack() as stack:
        lanes = []
        for _ in range(-(-endpoint.connections // _LANE_WIDTH)):
            transport = httpx.ASGITransport(endpoint.app) if endpoint.app else None
            lanes.append(_Lane(await stack.enter_async_context(open_client(transport=transport))))
        yield Provider(endpoint, lanes, url, gate, metrics)


def _keep_in(handshake: AsyncExitStack) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    """httpcore forgets a connection whose handshake is canceled. The stack closes it; once there is a connection, that
    is the pool's."""

    async def keep(event: str, told: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            handshake.push_async_callback(told["return_value"].aclose)
        elif event in _HANDED_OVER:
            handshake.pop_all()

    return keep


def address_of(endpoint: Endpoint) -> httpx.URL:
    """Where the calls go. Raises Misconfigured when no request can go there."""
    try:
        url = httpx.URL((endpoint.base_url or _OPENAI).rstrip("/") + "/chat/completions")
    except httpx.InvalidURL as exc:
        raise Misconfigured("LLM_BASE_URL is no address") from exc
    if url.scheme not in {"http", "https"} or not url.host:
        raise Misconfigured("LLM_BASE_URL must start with http:// or https://")
    return url


def _printable(key: str) -> str:
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise Misconfigured("LLM_API_KEY holds characters that no header can carry")
    return key


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise Unusable("model_too_long", "the model's answer has more than 4 MB")
    return bytes(body)
