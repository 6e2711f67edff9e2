"""The offline provider as an ASGI app: in this process behind httpx's ASGITransport, or served over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import orjson

from roadmap.llm.offline.answers import answer
from roadmap.llm.offline.calls import Calls
from roadmap.llm.offline.faults import Faults, Mode
from roadmap.llm.offline.protocol import Question, Reply, read_question, write_chunks, write_completion, write_reply

__all__ = ["create_app"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Message, Receive, Send], Awaitable[None]]

_MOST_BYTES = 2 * 1024 * 1024
_LONGEST_STALL = 600.0
_RETRY_AFTER = b"1"
_GARBAGE = (
    b"<html><body><h1>502 Bad Gateway</h1></body></html>",
    b'{"object": "chat.completion", "choices": []}',
    b'{"choices": [{"message": {"role": "assistant", "content": "Sure! {\\"title\\": 7"}, "finish_reason": "stop"}]}',
)


def create_app(*, latency_ms: int = 0, faults: Faults | None = None, seed: int = 0) -> ASGIApp:
    """`latency_ms` passes before each completion, without use of the processor; `faults` strike by seed and number."""
    return _OfflineModel(latency_ms / 1000, faults or Faults(), seed)


class _OfflineModel:
    """Routes, counters and faults; what is said comes from `answers`."""

    def __init__(self, latency: float, faults: Faults, seed: int) -> None:
        self._latency = latency
        self._faults = faults
        self._seed = seed
        self._calls = Calls()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"the offline provider speaks HTTP, not {scope['type']}")
        match (scope["method"], scope["path"].rstrip("/")):
            case ("POST", "/v1/chat/completions"):
                await self._complete(receive, send)
            case ("GET", "/v1/models"):
                await _send_json(send, {"object": "list", "data": [{"id": "offline", "object": "model"}]})
            case ("GET", "/health"):
                await _send_json(send, {"status": "ok"})
            case ("GET", "/calls"):
                await _send_json(send, self._calls.dump())
            case _:
                await _send_error(send, 404, "not_found", "the offline provider has no such address")

    async def _complete(self, receive: Receive, send: Send) -> None:
        try:
            question = read_question(await _read_body(receive))
        except ValueError as exc:
            await _send_error(send, 400, "invalid_request_error", str(exc))
            return
        number = self._calls.start()
        await asyncio.sleep(self._latency)
        fault = self._faults.draw(self._seed, number)
        if fault is not None:
            self._calls.fail(fault)
            await _break(fault, number, question, receive, send)
            return
        reply = write_reply(question, answer(question.asked))
        self._calls.finish(question)
        await _send_reply(send, reply)


async def _break(fault: Mode, number: int, question: Question, receive: Receive, send: Send) -> None:
    """One way in which providers fail."""
    match fault:
        case Mode.TOO_MANY:
            await _send_error(send, 429, "rate_limit_error", "slow down", (b"retry-after", _RETRY_AFTER))
        case Mode.BROKEN:
            await _send_error(send, 500, "server_error", "something broke")
        case Mode.STALL:
            await _stall(receive)
        case Mode.GARBAGE:
            await _send(send, 200, _GARBAGE[number % len(_GARBAGE)])
        case Mode.TRUNCATION:
            whole = write_reply(question, answer(question.asked))
            await _send_reply(send, Reply(question, whole.text[: len(whole.text) // 2], "length"))
        case Mode.RESET:
            await _start(send, 200, b"application/json", (b"content-length", b"100000"))
            await send({"type": "http.response.body", "body": b'{"choices": [', "more_body": True})
            raise ConnectionResetError("the connection breaks, as it was told to")


async def _stall(receive: Receive) -> None:
    """Until the client has gone."""
    try:
        async with asyncio.timeout(_LONGEST_STALL):
            while (await receive())["type"] != "http.disconnect":
                continue
    except TimeoutError:
        return


async def _read_body(receive: Receive) -> bytes:
    """Raises ValueError above 2 MB, or when the client leaves in the middle."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ValueError("the request broke off")
        body += message.get("body", b"")
        if len(body) > _MOST_BYTES:
            raise ValueError("the request has more than 2 MB")
        if not message.get("more_body", False):
            return bytes(body)


async def _send_reply(send: Send, reply: Reply) -> None:
    if not reply.question.stream:
        await _send(send, 200, write_completion(reply))
        return
    await _start(send, 200, b"text/event-stream")
    for chunk in write_chunks(reply):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_json(send: Send, body: dict[str, Any]) -> None:
    await _send(send, 200, orjson.dumps(body))


async def _send_error(send: Send, status: int, kind: str, message: str, *headers: tuple[bytes, bytes]) -> None:
    await _send(send, status, orjson.dumps({"error": {"type": kind, "message": message}}), *headers)


async def _send(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    await _start(send, status, b"application/json", (b"content-length", str(len(body)).encode()), *headers)
    await send({"type": "http.response.body", "body": body})


async def _start(send: Send, status: int, media_type: bytes, *headers: tuple[bytes, bytes]) -> None:
    told: Iterable[tuple[bytes, bytes]] = [(b"content-type", media_type), *headers]
    await send({"type": "http.response.start", "status": status, "headers": list(told)})
