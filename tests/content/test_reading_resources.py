"""GET …/resources, of bodies from before and after links were checked."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from inside import Api, open_api
from pieces import OpenRun, open_run

from roadmap.content import store
from roadmap.content.endpoints import ResourcesPieceAnswer
from roadmap.ids import Prefix, show_id
from roadmap.roadmaps.model import Kind
from roadmap.web.openapi import document

RESOURCE = {"title": "SQL", "url": "https://a.org/", "kind": "book", "language": "en", "why": "It is short."}
SIGNATURE = {"provider": "offline", "model": "offline"}


@pytest.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with open_api(database_url, redis_url) as opened:
        yield opened


async def read(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    """The answer about resources that are stored with this body."""
    run = await alices_run(api)
    piece = next(piece for piece in await run.claim() if piece.kind is Kind.RESOURCES)
    await store.save_piece(api.db, piece, body)
    roadmap_id, concept_id = show_id(Prefix.ROADMAP, run.roadmap_id), show_id(Prefix.CONCEPT, run.concept_id)
    response = await api.alice.get(f"/v1/roadmaps/{roadmap_id}/concepts/{concept_id}/resources")
    assert response.status_code == 200
    answered: dict[str, Any] = response.json()
    ResourcesPieceAnswer.model_validate(answered)
    return answered


async def alices_run(api: Api) -> OpenRun:
    run = await open_run(api.db)
    query = "UPDATE roadmaps SET user_id = (SELECT id FROM users WHERE email = 'alice@example.org') WHERE id = $1"
    await api.db.execute(query, run.roadmap_id)
    return run


async def test_resources_from_before_links_were_checked_are_read_in_today_s_form(api: Api) -> None:
    answered = await read(api, {"resources": [{**RESOURCE, "check": "unverified"}], **SIGNATURE})

    assert answered["body"] == {
        "resources": [{**RESOURCE, "check": "unverified", "checked_at": None}],
        "rejected": [],
        **SIGNATURE,
    }


async def test_checked_resources_are_read_as_they_were_written(api: Api) -> None:
    body = {
        "resources": [{**RESOURCE, "check": "verified", "checked_at": "2026-08-01T12:00:00Z"}],
        "rejected": [{"url": "https://b.org/", "check": "dead"}],
        **SIGNATURE,
    }

    assert (await read(api, body))["body"] == body


async def test_resources_that_are_not_ready_have_no_body(api: Api) -> None:
    run = await alices_run(api)
    roadmap_id, concept_id = show_id(Prefix.ROADMAP, run.roadmap_id), show_id(Prefix.CONCEPT, run.concept_id)

    response = await api.alice.get(f"/v1/roadmaps/{roadmap_id}/concepts/{concept_id}/resources")

    assert (response.status_code, response.json()["body"]) == (200, None)


def test_the_document_tells_what_a_check_may_say() -> None:
    schemas = document()["components"]["schemas"]

    assert schemas["LinkCheck"]["enum"] == ["verified", "dead", "unverified", "refused"]
    assert set(schemas["ResourcesBody"]["properties"]) == {"resources", "rejected", "provider", "model"}
    assert {"check", "checked_at"} <= set(schemas["CheckedResource"]["properties"])
