"""Around every request: its id, the body's limit, the security headers."""

import re
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roadmap.errors import Invalid
from roadmap.ids import new_id

__all__ = ["Envelope", "limit_body"]

log = structlog.get_logger()

MOST_BYTES = 256 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}


class Envelope:
    """Gives the request an id, counts its body while it streams in, and adds headers to its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope))
        scope["request_id"] = request_id
        started = time.perf_counter()

        async def stamp(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in _SECURITY.items():
                    headers.setdefault(name, value)
                if scope["state"]["web"].readiness.draining:
                    headers["Connection"] = "close"  # whoever comes again shall come to another process
                _log(scope, message["status"], started)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, limit_body(receive), stamp)


def limit_body(receive: Receive, most: int = MOST_BYTES) -> Receive:
    """Raises Invalid (413) from `receive` as soon as the body has more than `most` bytes."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise Invalid(f"the body has more than {most} bytes", status=413, code="too_large")
        return message

    return counted


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else new_id().hex


def _log(scope: Scope, status: int, started: float) -> None:
    ms = round((time.perf_counter() - started) * 1000, 1)
    log.debug("request", method=scope["method"], path=scope["path"], status=status, ms=ms)
