"""What HTTP itself asks of every answer."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from inside import Api, serving
from world import World

from roadmap.roadmaps.model import RunStatus


@pytest.fixture
def path(world: World) -> str:
    return f"/v1/roadmaps/{world.roadmap['id']}"


async def test_head_answers_like_get_without_a_body(world: World, path: str) -> None:
    for url in (path, "/v1/roadmaps", "/health", "/openapi.json"):
        head, get = await world.alice.head(url), await world.alice.get(url)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]


async def test_the_description_says_what_a_roadmap_s_status_can_be(world: World) -> None:
    schemas = (await world.nobody.get("/openapi.json")).json()["components"]["schemas"]
    assert schemas["RunStatus"]["enum"] == list(RunStatus)
    for name in ("RoadmapModel", "SummaryModel", "LatestRunModel"):
        assert schemas[name]["properties"]["status"]["$ref"].endswith("/RunStatus"), name


async def test_a_large_answer_is_compressed_for_those_who_can_read_it(world: World, path: str) -> None:
    packed = await world.alice.get(path, headers={"Accept-Encoding": "gzip"})
    plain = await world.alice.get(path, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert "Accept-Encoding" in packed.headers["vary"]


async def test_a_small_answer_is_not_compressed(world: World) -> None:
    answer = await world.nobody.get("/health", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


async def test_every_answer_carries_its_request_id_and_the_security_headers(world: World, path: str) -> None:
    for url in (path, "/health", "/nothing", "/v1/roadmaps?limit=0"):
        answer = await world.alice.get(url)
        assert answer.headers["x-request-id"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers


async def test_a_tutorial_is_markdown_for_those_who_want_it(world: World, path: str) -> None:
    url = f"{path}/concepts/{world.ids()['concept_id']}/tutorial"
    markdown = await world.alice.get(url, headers={"Accept": "text/markdown"})
    as_json = await world.alice.get(url, headers={"Accept": "text/markdown, application/json"})
    assert markdown.headers["content-type"].startswith("text/markdown")
    assert markdown.text == as_json.json()["body"]["markdown"]


async def test_a_version_that_is_not_there_is_not_found(world: World, path: str) -> None:
    url = f"{path}/concepts/{world.ids()['concept_id']}/tutorial"
    assert (await world.alice.get(url, params={"version": 1})).json()["version"] == 1
    assert (await world.alice.get(url, params={"version": 2})).status_code == 404


async def test_a_quiz_is_shown_without_its_key(world: World, path: str) -> None:
    quiz = await world.alice.get(f"{path}/concepts/{world.ids()['concept_id']}/quiz")
    questions = quiz.json()["body"]["questions"]
    assert questions
    assert all(set(question) == {"kind", "prompt", "options"} for question in questions)


async def test_a_finished_roadmap_tells_all_of_its_story(world: World, path: str) -> None:
    events = (await world.alice.get(f"{path}/events", params={"limit": 500})).json()
    run = (await world.alice.get(f"/v1/runs/{world.roadmap['run']['id']}")).json()
    log = (await world.alice.get(f"{path}/log", params={"limit": 100})).json()
    assert [event["seq"] for event in events["data"]] == list(range(1, world.roadmap["event_seq"] + 1))
    assert events["data"][-1]["type"] == "run.succeeded"
    assert run["status"] == "succeeded"
    assert run["steps"]
    assert log["data"]


async def test_a_caller_who_leaves_in_the_middle_is_no_fault_of_ours(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    head = (
        "POST /v1/roadmaps HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {api.keys[0]}\r\nContent-Length: 1000\r\n\r\n"
    )
    async with serving(api.state) as url:
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(head.encode() + b'{"goal": ')
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    said = capsys.readouterr().out
    assert "caller_gone" in said
    assert "request_failed" not in said


async def test_three_megabytes_are_refused_over_a_socket_too(world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * 10_000

    for content in (b"x" * 3_000_000, chunks()):
        answer = await world.alice.post("/v1/roadmaps", content=content, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
