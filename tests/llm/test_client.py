"""One call over real sockets: what the network and the provider may do, and what comes of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from model_server import (
    Behaviour,
    ModelServer,
    answer,
    drip,
    garbage,
    large,
    model_server,
    reset,
    stall,
    status,
)
from waiting import eventually

from roadmap.errors import Misconfigured, Outage, TimedOut, Unusable
from roadmap.llm.client import Endpoint, Provider, open_provider
from roadmap.llm.model import Message, Request, Usage

REQUEST = Request("tutorial", (Message("system", "You teach."), Message("user", "Teach joins.")), max_tokens=100)


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as running:
        yield running


@pytest.fixture
async def provider(server: ModelServer) -> AsyncIterator[Provider]:
    """Its whole call may take 0.4 s."""
    async with open_provider(Endpoint("small", server.url, "sk-secret", timeout=0.4)) as opened:
        yield opened


async def test_a_call_carries_the_model_the_key_and_the_limit(server: ModelServer, provider: Provider) -> None:
    server.script(answer("Joins."))

    completion = await provider.complete(REQUEST)

    assert (completion.text, completion.finish_reason, completion.usage) == ("Joins.", "stop", Usage(100, 50))
    call = server.calls[0]
    assert call.path == "/v1/chat/completions"
    assert call.headers["authorization"] == "Bearer sk-secret"
    assert call.purpose == "tutorial"
    assert call.body == {
        "model": "small",
        "messages": [{"role": "system", "content": "You teach."}, {"role": "user", "content": "Teach joins."}],
        "max_tokens": 100,
    }
    assert provider.name == "127.0.0.1"


@pytest.mark.fault("F19")
@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(stall(), id="silence"),
        pytest.param(stall(after=b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"), id="silence within the body"),
        pytest.param(drip("Joins."), id="one byte at a time"),
        pytest.param(reset(in_body=False), id="reset before the answer"),
        pytest.param(reset(), id="reset within the body"),
        pytest.param(garbage(), id="a proxy's page"),
        pytest.param(garbage(b""), id="no body"),
        pytest.param(garbage(b'{"choices": []}'), id="no choices"),
        pytest.param(garbage(b'{"choices": [{"message": null}]}'), id="no message"),
        pytest.param(garbage(b"[" * 100_000), id="a deep body"),
        pytest.param(garbage(b"\xff\xfe\x00"), id="no text at all"),
        pytest.param(garbage(b'{"error": {"code": 502, "message": "upstream"}}'), id="an error under 200"),
        pytest.param(answer("Joins", finish_reason="error"), id="broken off by the provider"),
        pytest.param(stall(after=b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), id="another protocol"),
        pytest.param(status(500), id="an error"),
        pytest.param(status(429), id="too many"),
    ],
)
async def test_what_may_pass_is_an_outage_in_time(
    server: ModelServer, provider: Provider, behaviour: Behaviour
) -> None:
    server.script(behaviour, answer("Joins."))
    started = time.monotonic()

    with pytest.raises(Outage) as caught:
        await provider.complete(REQUEST)

    assert time.monotonic() - started < 2
    assert 2 <= caught.value.retry_in <= 20
    assert (await provider.complete(REQUEST)).text == "Joins.", "the provider goes on"
    assert len(server.calls) == 2, "a call is never repeated on its own"


async def test_a_provider_that_is_not_there_is_an_outage(unused_tcp_port: int) -> None:
    async with open_provider(Endpoint("small", f"http://127.0.0.1:{unused_tcp_port}/v1")) as absent:
        with pytest.raises(Outage, match="cannot be reached"):
            await absent.complete(REQUEST)


@pytest.mark.fault("F19")
async def test_the_provider_says_when_to_come_back(server: ModelServer, provider: Provider) -> None:
    server.script(status(429, {"Retry-After": "33"}), status(503, {"retry-after-ms": "2500"}))

    for pause in (33, 2.5):
        with pytest.raises(Outage) as caught:
            await provider.complete(REQUEST)
        assert caught.value.retry_in == pause


@pytest.mark.fault("F19")
async def test_a_body_above_4_mb_is_not_read_to_its_end(server: ModelServer, provider: Provider) -> None:
    server.script(large(5 * 1024 * 1024))

    with pytest.raises(Unusable) as caught:
        await provider.complete(REQUEST)

    assert caught.value.code == "model_too_long"


async def test_a_refusal_tells_nothing_of_the_providers_message(server: ModelServer, provider: Provider) -> None:
    server.script(status(401, {}, {"error": {"message": "Incorrect API key provided: sk-secret"}}))

    with pytest.raises(Unusable) as caught:
        await provider.complete(REQUEST)

    assert caught.value.code == "provider_refused_key"
    assert "sk-secret" not in str(caught.value)
    assert "sk-secret" not in repr(Endpoint("small", server.url, "sk-secret"))


async def test_a_canceled_call_hangs_up_and_leaves_its_connection_to_others(server: ModelServer) -> None:
    async with open_provider(Endpoint("small", server.url, connections=1, timeout=5)) as narrow:
        server.script(stall(), answer("Joins."))
        call = asyncio.create_task(narrow.complete(REQUEST))
        async with asyncio.timeout(5):
            while not server.calls:
                await asyncio.sleep(0.005)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        assert (await narrow.complete(REQUEST)).text == "Joins."


@pytest.mark.parametrize("ends_by", ["cancellation", "time-out"])
async def test_a_call_that_ends_in_the_handshake_leaves_no_connection(ends_by: str) -> None:
    deaf = Deaf()
    listener = await asyncio.start_server(deaf.serve, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    async with listener, open_provider(Endpoint("small", url, timeout=1.0)) as encrypted:
        call = asyncio.create_task(encrypted.complete(REQUEST))
        await eventually(lambda: deaf.open == 1, "a handshake has begun")
        if ends_by == "cancellation":
            call.cancel()
        with pytest.raises((TimedOut, asyncio.CancelledError)):
            await call
        await eventually(lambda: deaf.open == 0, "the connection is closed")
    assert deaf.taken == 1


async def test_connections_are_kept_from_call_to_call() -> None:
    taken = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        taken += 1
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                body = b'{"choices": [{"message": {"content": "Joins."}}]}'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    async with listener, open_provider(Endpoint("small", url)) as kept:
        for _ in range(5):
            await kept.complete(REQUEST)
    assert taken == 1


class Deaf:
    """Takes connections and shakes no hands."""

    taken = open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        self.open += 1
        with suppress(ConnectionError):
            await reader.read()
        self.open -= 1
        writer.close()


async def test_tokens_that_nobody_counted_are_estimated(server: ModelServer, provider: Provider) -> None:
    for usage in ({}, [], {"prompt_tokens": -1, "completion_tokens": True}, {"prompt_tokens": "7"}):
        server.script(answer("12345", usage=usage))

        assert (await provider.complete(REQUEST)).usage == Usage(6, 2)


async def test_content_in_parts_is_put_together(server: ModelServer, provider: Provider) -> None:
    parts = [{"type": "text", "text": "Jo"}, {"type": "image"}, {"type": "text", "text": "ins."}]
    server.script(answer(None, content=parts))

    assert (await provider.complete(REQUEST)).text == "Joins."


async def test_the_price_is_rounded_up_to_a_whole_micro_dollar(server: ModelServer) -> None:
    async with open_provider(Endpoint("small", server.url, input_price=250_000, output_price=2_000_000)) as priced:
        assert priced.price(Usage(0, 0)) == 0
        assert priced.price(Usage(1, 0)) == 1
        assert priced.price(Usage(1000, 500)) == 250 + 1000


async def test_an_application_in_this_process_is_a_provider_too() -> None:
    async def play(_scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        body = b'{"choices": [{"message": {"content": "Joins."}}]}'
        await send({"type": "http.response.body", "body": body})  # type: ignore[operator]

    async with open_provider(Endpoint("offline", app=play)) as offline:  # type: ignore[arg-type]
        assert offline.name == "offline"
        assert (await offline.complete(REQUEST)).text == "Joins."


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("small", "localhost:8080/v1"),
        Endpoint("small", "ftp://models.example/v1"),
        Endpoint("small", "http://"),
        Endpoint("small", "http://[::1"),
        Endpoint("small", api_key="sk-1\nX-Evil: 1"),
        Endpoint("small", api_key="ключ"),
    ],
)
async def test_an_address_or_key_that_cannot_work_is_told_at_the_start(endpoint: Endpoint) -> None:
    with pytest.raises(Misconfigured, match="LLM_"):
        async with open_provider(endpoint):
            pass


async def test_without_an_address_the_provider_is_openai() -> None:
    async with open_provider(Endpoint("gpt-5-mini", "", "sk-1")) as opened:
        assert opened.name == "api.openai.com"
