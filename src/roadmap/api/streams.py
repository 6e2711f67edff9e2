"""Streams of server-sent events: kept alive, and ended for whoever takes nothing of them."""

from collections.abc import AsyncIterator

import structlog
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

__all__ = ["EventStream"]

log = structlog.get_logger()

HEARTBEAT = 15  # seconds
SEND_TIMEOUT = 10.0


class EventStream(EventSourceResponse):
    """A reader who takes nothing for SEND_TIMEOUT seconds is cut: that is no fault of ours."""

    def __init__(self, events: AsyncIterator[ServerSentEvent]) -> None:
        headers = {"Cache-Control": "no-cache, no-transform"}
        super().__init__(events, ping=HEARTBEAT, send_timeout=SEND_TIMEOUT, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            log.info("stream_cut", path=scope["path"])
