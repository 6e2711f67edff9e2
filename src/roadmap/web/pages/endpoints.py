"""The endpoints behind the table of views: one shows any of them, one streams what changes in it."""

import time
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import orjson
from sse_starlette import ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from roadmap.api.streams import EventStream
from roadmap.errors import NotFound, Outage
from roadmap.web.pages.access import Visitor, find_visitor
from roadmap.web.pages.frame import Ask, View, look
from roadmap.web.pages.live import Live
from roadmap.web.pages.notices import read_notices
from roadmap.web.pages.rendering import page_answer
from roadmap.web.pages.views import find_view

__all__ = ["show_view", "stream_view"]

LOOK_AGAIN = 2.0  # seconds after which a stream asks whether its session still holds
MOST_ADDRESS = 4_000
MOST_PARAMETERS = 20


async def show_view(request: Request, visitor: Visitor) -> Response:
    """Any of the views, as its address says."""
    view, ask = find_view(request.url.path, dict(request.query_params))
    live: Live = request.state.web.live
    frame, values = await look(live.tools, view, ask, read_notices(request.query_params))
    return page_answer(view.template, {**values, "page": frame, "visitor": visitor, "may": visitor.operates})


async def stream_view(request: Request, visitor: Visitor) -> Response:
    """Server-sent events for `?view=` the address of a view: `piece`, `title`, `state`, `reload`, `bye`."""
    view, ask = _read_view(request.query_params.get("view", ""))
    live: Live = request.state.web.live
    live.require_room(visitor.user_id)
    return EventStream(_follow(live, request, visitor, (view, ask)))


def _read_view(address: str) -> tuple[View, Ask]:
    """Raises NotFound for what is no view's address."""
    path, _, query = address.partition("?")
    try:
        parameters = dict(parse_qsl(query, max_num_fields=MOST_PARAMETERS)) if len(address) <= MOST_ADDRESS else None
    except ValueError:
        parameters = None
    if parameters is None:
        raise NotFound("no such page")
    return find_view(path, parameters)


async def _follow(
    live: Live, request: Request, visitor: Visitor, wanted: tuple[View, Ask]
) -> AsyncIterator[ServerSentEvent]:
    """Ends with `bye` when this process stops, and with `reload` when the session ended or its role changed."""
    yield ServerSentEvent(comment="ready")
    hold = _Hold(request, visitor)
    async with live.listen(*wanted, visitor.user_id, operates=visitor.operates) as listener:
        while not listener.closed:
            for name, content in await listener.take(LOOK_AGAIN):
                yield _event(name, **content)
            if not await hold.lasts():
                yield _event("reload")
                return
    yield _event("bye")


class _Hold:
    """Whether a stream's session still holds: asked again from time to time."""

    def __init__(self, request: Request, visitor: Visitor) -> None:
        self._request = request
        self._visitor = visitor
        self._until = time.monotonic() + LOOK_AGAIN

    async def lasts(self) -> bool:
        """Nobody is sent away because the database is away."""
        if time.monotonic() < self._until:
            return True
        self._until = time.monotonic() + LOOK_AGAIN
        try:
            now = await find_visitor(self._request)
        except Outage:
            return True
        return now is not None and now.role == self._visitor.role


def _event(name: str, **content: object) -> ServerSentEvent:
    return ServerSentEvent(event=name, data=orjson.dumps(content).decode())
