"""P8: nobody sees another's anything, and only operators the service as a whole. Walks the URL table: a new operation
is covered, or the walk fails."""

from typing import Any

import httpx
import pytest
from world import World

from roadmap.api.operation import NoBody, Operation
from roadmap.web.app import PUBLIC
from roadmap.web.pages.routes import PAGES
from roadmap.web.routes import OPERATIONS

# What an operation needs beyond its path; who adds one without a line here sees the walk fail with a 4xx.
BODIES: dict[str, dict[str, Any]] = {
    "POST /v1/roadmaps": {"goal": "Learn to walk"},
    "POST /v1/roadmaps/{roadmap_id}/complete": {},
    "POST /v1/admin/dead-jobs/retry": {"fingerprint": "0" * 16},
    "POST /v1/admin/dead-jobs/discard": {"fingerprint": "0" * 16},
}
# For which nothing may be finished yet, and which roadmap of the world that is: each begins a run.
UNFINISHED = {
    "POST /v1/roadmaps/{roadmap_id}/complete": "unfinished",
    "POST /v1/admin/roadmaps/{roadmap_id}/complete": "abandoned",
}


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)


async def send(client: httpx.AsyncClient, operation: Operation, world: World, **options: Any) -> httpx.Response:
    body = BODIES.get(name_of(operation)) if operation.body is not NoBody else None
    ids = world.ids()
    if name_of(operation) in UNFINISHED:
        ids["roadmap_id"] = getattr(world, UNFINISHED[name_of(operation)])
    return await client.request(operation.method, operation.path.format(**ids), json=body, **options)


@every_operation
async def test_without_a_key_an_operation_answers_401(operation: Operation, world: World) -> None:
    answer = await send(world.nobody, operation, world)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "unauthorized"


@every_operation
async def test_the_owner_is_answered(operation: Operation, world: World) -> None:
    answer = await send(world.operator if operation.operator else world.alice, operation, world)
    assert answer.status_code == operation.status, answer.text
    operation.answer.model_validate(answer.json())


@every_operation
async def test_another_caller_finds_nothing(operation: Operation, world: World) -> None:
    answer = await send(world.bob if operation.method == "POST" else world.carol, operation, world)
    if operation.operator:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    elif "{" in operation.path:
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    elif operation.method == "GET":
        assert answer.json() == {"data": [], "has_more": False, "next_cursor": None}
    assert "SQL" not in answer.text


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if "{" in o.path], ids=name_of)
async def test_a_foreign_id_answers_as_one_that_does_not_exist(operation: Operation, world: World) -> None:
    missing = {name: f"{value.partition('_')[0]}_{'0' * 32}" for name, value in world.ids().items()}
    foreign, absent = [
        await world.bob.request(operation.method, operation.path.format(**ids)) for ids in (world.ids(), missing)
    ]
    same = ("status", "code", "title", "detail", "errors")
    assert {key: foreign.json()[key] for key in same} == {key: absent.json()[key] for key in same}


async def test_a_stream_is_not_opened_for_another_caller(world: World) -> None:
    path = f"/v1/roadmaps/{world.roadmap['id']}/events"
    answer = await world.bob.get(path, headers={"accept": "text/event-stream"})
    assert answer.status_code == 404


async def test_a_concept_of_another_roadmap_is_not_found_in_mine(world: World) -> None:
    mine = (await world.bob.post("/v1/roadmaps", json={"goal": "Learn to look elsewhere"})).json()["id"]
    concept_id = world.ids()["concept_id"]
    answers = [await world.bob.get(f"/v1/roadmaps/{mine}/concepts/{concept_id}/{kind}") for kind in KINDS]
    logged = await world.bob.get(f"/v1/roadmaps/{mine}/log", params={"concept": concept_id})
    assert [answer.status_code for answer in answers] == [404] * len(KINDS)
    assert logged.json()["data"] == []


KINDS = ("tutorial", "resources", "quiz")


async def test_an_operator_reads_no_roadmap_of_others(world: World) -> None:
    assert (await world.operator.get(f"/v1/roadmaps/{world.roadmap['id']}")).status_code == 404
    assert (await world.operator.get("/v1/roadmaps")).json()["data"] == []


def test_what_shows_the_whole_service_is_for_operators() -> None:
    assert {operation.path.startswith("/v1/admin/") for operation in OPERATIONS if operation.operator} == {True}
    assert {operation.operator for operation in OPERATIONS if operation.path.startswith("/v1/admin/")} == {True}


async def test_only_the_declared_paths_are_public(world: World) -> None:
    assert set(PUBLIC) == {"/health", "/ready", "/metrics", "/openapi.json"}
    for path in PUBLIC:
        assert (await world.nobody.get(path)).status_code == 200


def test_every_route_is_public_an_operation_or_a_page_with_a_role() -> None:
    """Pages are walked by test_page_access."""
    operations, pages = {operation.path for operation in OPERATIONS}, {page.path for page in PAGES}
    assert operations.isdisjoint(PUBLIC)
    assert pages.isdisjoint(PUBLIC)
    assert operations.isdisjoint(pages)
    names = [name_of(operation) for operation in OPERATIONS]
    assert len(set(names)) == len(names)
