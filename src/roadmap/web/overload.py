"""A bound on the requests that are under way in this process: whatever comes beyond it is refused at once."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roadmap.api.problems import Problem
from roadmap.web.pages.problems import tell_problem

__all__ = ["Bound"]

# They cost next to nothing, and whoever asks them would take this process away, and leave its load to the others.
PROBES = {"/health", "/ready", "/metrics"}
STREAM = b"text/event-stream"
REFUSAL = Problem(503, "overloaded", "too many requests are under way here; try again", headers={"Retry-After": "1"})


class Bound:
    """Lets `most` requests through at once. A stream of events counts until it begins: open ones have their own bound
    (events/endpoints.py)."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
        elif self._under_way >= self._most:
            await tell_problem(REFUSAL, scope)(scope, receive, send)
        else:
            await self._count(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        counted = 1
        self._under_way += 1

        async def watched(message: Message) -> None:
            nonlocal counted
            if message["type"] == "http.response.start" and _is_stream(message):
                self._under_way -= counted
                counted = 0
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._under_way -= counted


def _is_stream(start: Message) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(STREAM) for name, value in start["headers"])
