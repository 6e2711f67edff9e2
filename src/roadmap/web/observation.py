"""Around everything: how long each request took, by its line of the URL table."""

import time

from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roadmap.metrics import RequestMetrics

__all__ = ["Observation"]

_STREAM = b"text/event-stream"
# Nothing was answered: uvicorn says 500 then, or has nobody left to say it to.
_BROKEN = 500


class Observation:
    """A request is over when its answer has been handed over whole, or has failed. An event stream is over when it
    begins: for how long somebody listens says nothing about the service."""

    def __init__(self, app: ASGIApp, requests: RequestMetrics) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, is_over = time.perf_counter(), _BROKEN, False

        async def watch(message: Message) -> None:
            nonlocal status, is_over
            if message["type"] == "http.response.start":
                status = message["status"]
                if _is_stream(message):
                    is_over = True
                    self._tell(scope, status, began)
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            if not is_over:
                self._tell(scope, status, began)

    def _tell(self, scope: Scope, status: int, began: float) -> None:
        self._requests.observe(scope["method"], _route(scope), status, time.perf_counter() - began)


def _is_stream(start: Message) -> bool:
    return any(value.startswith(_STREAM) for name, value in start["headers"] if name == b"content-type")


def _route(scope: Scope) -> str:
    """As it stands in the table: an address that is not there has a name as well, and only one."""
    route = scope.get("route")
    return route.path if isinstance(route, Route | Mount) else "unmatched"
