"""A real local HTTP server that plays a provider: it answers, refuses, stalls, cuts and babbles as it is told.

    async with model_server() as server:
        server.script(status(429, {"retry-after": "7"}), answer({"title": "SQL"}))
        ... a client of server.url ...
        assert len(server.calls) == 2

What is not scripted is answered by `server.default`, which may be replaced.
"""

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

__all__ = [
    "Behaviour",
    "Call",
    "ModelServer",
    "answer",
    "completion",
    "drip",
    "garbage",
    "large",
    "model_server",
    "reset",
    "stall",
    "status",
]


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the server saw it. `prompt` tells questions apart and is the same in every round of repair."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def purpose(self) -> str:
        return self.headers.get("x-purpose", "")

    @property
    def messages(self) -> list[dict[str, str]]:
        return list(self.body["messages"])

    @property
    def prompt(self) -> str:
        user = next(message["content"] for message in self.messages if message["role"] == "user")
        return hashlib.sha256(user.encode()).hexdigest()

    @property
    def format(self) -> str | None:
        """The type of the response format that was asked for."""
        kind: str | None = self.body.get("response_format", {}).get("type")
        return kind


Behaviour = Callable[[Call, asyncio.StreamWriter], Awaitable[None]]


def answer(content: Any, /, *, finish_reason: str | None = "stop", usage: Any = None, **message: Any) -> Behaviour:
    """A proper completion; what is no string is sent as JSON. `message` adds fields (refusal=…)."""
    return status(200, {}, completion(content, finish_reason, usage, message))


def completion(content: Any, finish_reason: str | None, usage: Any, message: dict[str, Any]) -> bytes:
    text = content if isinstance(content, str | None) else orjson.dumps(content).decode()
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish_reason}
        ],
        "usage": usage if usage is not None else {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
    }
    return json.dumps(reply).encode()  # escapes the lone surrogates that orjson refuses


def status(code: int, headers: dict[str, str] | None = None, body: bytes | Any = b"") -> Behaviour:
    """Any status; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)

    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(code, {"content-length": str(len(content)), **(headers or {})}) + content)

    return behave


def stall(*, after: bytes = b"") -> Behaviour:
    """Says `after` (b"" is not even a status line), then nothing until the client or the server goes."""

    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await writer.drain()
        await asyncio.Event().wait()

    return behave


def reset(*, in_body: bool = True) -> Behaviour:
    """Drops the connection with a TCP reset: in the middle of the body, or before the first byte."""

    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        if in_body:
            writer.write(_head(200, {"content-length": "10000"}) + b'{"choices": [{"mess')
            await writer.drain()
        writer.transport.abort()

    return behave


def large(size: int = 5 * 1024 * 1024) -> Behaviour:
    """A completion whose text has `size` characters."""
    return answer("x" * size)


def drip(content: Any, *, pause: float = 0.05) -> Behaviour:
    """A proper completion, one byte after each pause (seconds)."""
    body = completion(content, "stop", None, {})

    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, {"content-length": str(len(body))}))
        for position in range(len(body)):
            writer.write(body[position : position + 1])
            await writer.drain()
            await asyncio.sleep(pause)

    return behave


def garbage(content: bytes = b"<html><body>Bad gateway</body></html>") -> Behaviour:
    """Status 200 with a body that is no completion."""
    return status(200, {}, content)


def _head(code: int, headers: dict[str, str]) -> bytes:
    fields = {"content-type": "application/json", **headers}
    lines = [f"HTTP/1.1 {code} Played", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode()


@dataclass(slots=True)
class ModelServer:
    """`url` is a base URL up to /v1. `calls` holds every request, in the order of arrival."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    default: Callable[[Call], Behaviour] = lambda _: answer("Nothing was scripted.")
    _scripts: dict[str | None, deque[Behaviour]] = field(default_factory=dict)

    def script(self, *behaviours: Behaviour, purpose: str | None = None) -> None:
        """Adds answers, each for one call: for those of a purpose, or for those that no other script is for."""
        self._scripts.setdefault(purpose, deque()).extend(behaviours)

    def count(self, *, purpose: str | None = None, prompt: str | None = None) -> int:
        """How many calls there were, of a purpose or of a question (see Call.prompt)."""
        return sum(purpose in {None, call.purpose} and prompt in {None, call.prompt} for call in self.calls)

    def take(self, call: Call) -> Behaviour:
        for key in (call.purpose, None):
            if self._scripts.get(key):
                return self._scripts[key].popleft()
        return self.default(call)


@asynccontextmanager
async def model_server() -> AsyncIterator[ModelServer]:
    """Serves on a free port of 127.0.0.1; leaving cuts every connection and waits for their tasks."""
    played = ModelServer()
    talks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await _talk(played, reader, writer)
        except asyncio.CancelledError:
            # asyncio's streams report a canceled handler as an error of the loop.
            pass
        finally:
            writer.transport.abort()
            talks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    played.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield played
    finally:
        server.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def _talk(played: ModelServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Requests of one connection, one after another, until either side goes."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            call = await _receive(reader)
            played.calls.append(call)
            await _behave_while_heard(played.take(call), call, reader, writer)
            await writer.drain()


async def _receive(reader: asyncio.StreamReader) -> Call:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return Call(request.split(" ")[1], headers, orjson.loads(content or b"{}"))


async def _behave_while_heard(
    behaviour: Behaviour, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Ends a stall as soon as the client hangs up."""
    speaking = asyncio.ensure_future(behaviour(call, writer))
    gone = asyncio.ensure_future(_hung_up(reader))
    try:
        await asyncio.wait({speaking, gone}, return_when=asyncio.FIRST_COMPLETED)
        if speaking.done():
            await speaking
    finally:
        for task in (speaking, gone):
            task.cancel()
        await asyncio.gather(speaking, gone, return_exceptions=True)


async def _hung_up(reader: asyncio.StreamReader) -> None:
    # A client speaks its next request only after our answer, so there is nothing to be read before.
    while not reader.at_eof():
        await asyncio.sleep(0.02)
