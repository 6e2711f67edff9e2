"""GET /v1/roadmaps/{id}/events: a JSON page, or a stream that replays what was missed and then follows."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import BaseModel, Field
from sse_starlette import ServerSentEvent
from starlette.responses import Response

from roadmap.api.answers import JSONAnswer, utc
from roadmap.api.inputs import Digits
from roadmap.api.operation import Call, NoBody, Query
from roadmap.api.streams import EventStream
from roadmap.database import Database
from roadmap.errors import Fault, Invalid, NotFound, TooMany
from roadmap.events import store
from roadmap.events.hub import Hub, SlowListener
from roadmap.events.model import TERMINAL, Event
from roadmap.ids import Prefix
from roadmap.queue.client import Queue

__all__ = ["LAST_EVENT_ID", "EventPage", "EventsQuery", "read_events"]

RETRY_MS = 3_000
MOST_STREAMS = 2_000
MOST_STREAMS_OF_ONE = 500
MOST_SEQ = 2**62
LAST_EVENT_ID = re.compile(r"[0-9]{1,18}")


class EventsQuery(Query):
    after: Annotated[int, Field(ge=0, le=MOST_SEQ, description="the last `seq` that you have seen"), Digits] = 0
    limit: Annotated[int, Field(ge=1, le=500, description="rows on a JSON page"), Digits] = 100


class EventModel(BaseModel):
    seq: int
    type: str
    at: str
    payload: dict[str, Any]


class EventPage(BaseModel):
    """`next_after` is the `after` of the next page."""

    data: list[EventModel]
    has_more: bool
    next_after: int


async def read_events(db: Database, _queue: Queue, call: Call[NoBody, EventsQuery]) -> Response:
    """A stream when `text/event-stream` is accepted, else a page. `Last-Event-ID` goes before `after`."""
    roadmap_id = call.path_id(Prefix.ROADMAP, "roadmap_id")
    stream = await store.find_stream(db, call.user_id, roadmap_id)
    if stream is None:
        raise NotFound("no such roadmap")
    after = _last_event_id(call)
    if "text/event-stream" not in call.request.headers.get("accept", ""):
        return await _page(db, roadmap_id, after, call.query.limit)
    if not stream.active and after >= stream.last_seq:
        return Response(status_code=204)  # tells an EventSource to stop reconnecting
    return _stream(call.request.state.hub, roadmap_id, after, call.user_id)


async def _page(db: Database, roadmap_id: UUID, after: int, limit: int) -> JSONAnswer:
    events = await store.read_after(db, roadmap_id, after, limit + 1)
    page = events[:limit]
    return JSONAnswer(
        {
            "data": [_show(event) for event in page],
            "has_more": len(events) > limit,
            "next_after": page[-1].seq if page else after,
        }
    )


def _stream(hub: Hub, roadmap_id: UUID, after: int, user_id: UUID) -> EventStream:
    if hub.count() >= MOST_STREAMS:
        raise TooMany("too many event streams are open here", retry_in=10)
    if hub.count(user_id) >= MOST_STREAMS_OF_ONE:
        raise TooMany(f"you have {MOST_STREAMS_OF_ONE} event streams open; close some", retry_in=10)
    return EventStream(_follow(hub, roadmap_id, after, user_id))


async def _follow(hub: Hub, roadmap_id: UUID, after: int, user_id: UUID) -> AsyncIterator[ServerSentEvent]:
    """Ends after a terminal event, with `bye` when this process stops, and silently for a reader who is too slow."""
    yield ServerSentEvent(comment="ready", retry=RETRY_MS)
    async with hub.listen(roadmap_id, after, user_id) as listener:
        while True:
            try:
                event = await listener.take()
            except SlowListener:
                return
            if event is None:
                yield ServerSentEvent(event="bye", data="{}")
                return
            yield _frame(event)
            if event.type in TERMINAL and listener.caught_up:
                return


def _frame(event: Event) -> ServerSentEvent:
    return ServerSentEvent(id=str(event.seq), event=event.type, data=orjson.dumps(_show(event)).decode())


def _show(event: Event) -> dict[str, Any]:
    return {"seq": event.seq, "type": event.type, "at": utc(event.at), "payload": event.payload}


def _last_event_id(call: Call[NoBody, EventsQuery]) -> int:
    text = call.request.headers.get("last-event-id")
    if text is None:
        return call.query.after
    if not LAST_EVENT_ID.fullmatch(text):
        fault = Fault("Last-Event-ID", "invalid", "send the `id` of the last event that you got")
        raise Invalid("Last-Event-ID is no event's number", [fault])
    return int(text)
