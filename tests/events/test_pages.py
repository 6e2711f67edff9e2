"""Events as JSON, for those who would rather ask than listen."""

from datetime import datetime

import pytest
from feed import Feed, seqs
from inside import Api
from pydantic import TypeAdapter

from roadmap.events.model import PAYLOADS, EventType

Moment = TypeAdapter(datetime)


async def test_pages_follow_each_other_to_the_end(api: Api, feed: Feed) -> None:
    await feed.tell(6)
    await feed.end()
    received: list[int] = []
    after, more = 0, True
    while more:
        page = (await api.alice.get(feed.path, params={"limit": 3, "after": after})).json()
        received += seqs(page["data"])
        after, more = page["next_after"], page["has_more"]
    assert received == list(range(1, 9))


async def test_a_page_with_nothing_new_keeps_the_place(api: Api, feed: Feed) -> None:
    page = (await api.alice.get(feed.path, params={"after": 17})).json()
    assert page == {"data": [], "has_more": False, "next_after": 17}


async def test_an_event_has_the_payload_of_its_type_and_a_time(api: Api, feed: Feed) -> None:
    await feed.tell(1)
    await feed.end()
    events = (await api.alice.get(feed.path)).json()["data"]
    assert [event["type"] for event in events] == ["run.queued", "run.step", "run.canceled"]
    for event in events:
        PAYLOADS[EventType(event["type"])].model_validate(event["payload"])
        assert Moment.validate_python(event["at"]).tzinfo is not None


def test_every_type_of_event_has_a_payload() -> None:
    assert set(PAYLOADS) == set(EventType)


@pytest.mark.parametrize("accept", ["application/json", "*/*", ""])
async def test_without_a_wish_for_a_stream_a_page_is_answered(api: Api, feed: Feed, accept: str) -> None:
    answer = await api.alice.get(feed.path, headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"
