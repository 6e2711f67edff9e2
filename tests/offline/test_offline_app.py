"""The protocol: in this process and over HTTP, with faults and without."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from asking import CONCEPTS, about

from roadmap.content.model import QuizAnswer
from roadmap.drafting.model import Intent
from roadmap.errors import Misconfigured, Outage
from roadmap.llm.ask import Llm, PlannedCall
from roadmap.llm.client import Endpoint, open_provider
from roadmap.llm.model import Prompt, Spent
from roadmap.llm.offline.app import create_app
from roadmap.llm.offline.faults import Faults, Mode
from roadmap.llm.offline.serve import serve

READY = re.compile(r"http://127\.0\.0\.1:\d+/v1")
SERVE = """
import asyncio, sys
from roadmap.llm.offline.faults import Faults
from roadmap.llm.offline.serve import serve
asyncio.run(serve(0, faults=Faults.parse(sys.argv[1])))
"""


class NoLedger:
    run_id = uuid4()

    async def reserve(self, call: PlannedCall, _finished: Sequence[Spent] = ()) -> UUID:
        return uuid4()


def block(task: str, **asked: Any) -> str:
    return f"<input>{orjson.dumps({'task': task, **asked}).decode()}</input>"


def request(task: str, *more: dict[str, str], **asked: Any) -> dict[str, Any]:
    return {"model": "any", "messages": [{"role": "user", "content": block(task, **asked)}, *more]}


def client(faults: str = "", *, latency_ms: int = 0, seed: int = 0) -> httpx.AsyncClient:
    app = create_app(faults=Faults.parse(faults), latency_ms=latency_ms, seed=seed)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://offline")


@asynccontextmanager
async def served(faults: str = "") -> AsyncIterator[str]:
    """The base URL of a provider in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, faults, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        found = READY.search(line)
        assert found, line
        yield found[0]
    finally:
        process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert b"Traceback" not in errors, errors.decode()


async def post(calls: httpx.AsyncClient, body: Any) -> httpx.Response:
    return await calls.post("/v1/chat/completions", json=body)


async def test_a_completion_has_the_form_of_the_protocol() -> None:
    async with client() as calls:
        reply = (await post(calls, request("intent", goal="Learn SQL"))).json()
    assert reply["model"] == "any"
    assert reply["object"] == "chat.completion"
    choice = reply["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert Intent.model_validate_json(choice["message"]["content"]).title == "SQL and relational databases"
    said, told = reply["usage"]["completion_tokens"], reply["usage"]["prompt_tokens"]
    assert said == len(choice["message"]["content"]) // 4
    assert reply["usage"]["total_tokens"] == said + told


async def test_a_streamed_completion_says_the_same_in_chunks() -> None:
    body = request("tutorial", **about(CONCEPTS[0]))
    async with client() as calls:
        whole = (await post(calls, body)).json()["choices"][0]["message"]["content"]
        response = await post(calls, {**body, "stream": True})
    assert response.headers["content-type"] == "text/event-stream"
    events = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert events.pop() == "[DONE]"
    chunks = [orjson.loads(event)["choices"][0] for event in events]
    assert len(chunks) > 5
    assert "".join(chunk["delta"].get("content", "") for chunk in chunks) == whole
    assert chunks[-1]["finish_reason"] == "stop"


async def test_a_round_of_repair_is_answered_from_the_first_message() -> None:
    repair = ({"role": "assistant", "content": "{"}, {"role": "user", "content": "Your last answer cannot be used."})
    async with client() as calls:
        first = await post(calls, request("intent", goal="Learn SQL"))
        second = await post(calls, request("intent", *repair, goal="Learn SQL"))
        counted = (await calls.get("/calls")).json()
    assert first.json()["choices"] == second.json()["choices"]
    assert counted["most_for_one_prompt"] == 1


@pytest.mark.parametrize("content", ["Hello!", "<input>{broken</input>", block("sing"), "<input>[1]</input>"])
async def test_what_is_no_task_gets_a_plain_honest_sentence(content: str) -> None:
    async with client() as calls:
        response = await post(calls, {"messages": [{"role": "user", "content": content}]})
    assert response.json()["choices"][0]["message"]["content"].startswith("offline provider: ")


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_is_cut_at_the_tokens_that_are_allowed(limit: str) -> None:
    async with client() as calls:
        reply = (await post(calls, {**request("intent", goal="Learn SQL"), limit: 5})).json()
    assert reply["choices"][0]["finish_reason"] == "length"
    assert len(reply["choices"][0]["message"]["content"]) == 20
    assert reply["usage"]["completion_tokens"] == 5


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages": 7}', b"x" * 3_000_000])
async def test_a_request_that_is_none_is_refused(body: bytes) -> None:
    async with client() as calls:
        response = await calls.post("/v1/chat/completions", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_models_health_and_counters_are_told() -> None:
    async with client() as calls:
        assert (await calls.get("/health")).json() == {"status": "ok"}
        assert (await calls.get("/v1/models")).json()["data"][0]["id"] == "offline"
        assert (await calls.get("/nowhere")).status_code == 404
        for _ in range(2):
            await post(calls, request("intent", goal="Learn SQL"))
        await post(calls, request("intent", goal="Learn Python"))
        counted = (await calls.get("/calls")).json()
    assert counted == {"total": 3, "tasks": {"intent": 3}, "faults": {}, "prompts": 2, "most_for_one_prompt": 2}


async def test_latencies_pass_side_by_side() -> None:
    loop = asyncio.get_running_loop()
    async with client(latency_ms=200) as calls:
        started = loop.time()
        await asyncio.gather(*(post(calls, request("intent", goal="Learn SQL")) for _ in range(20)))
        assert 0.2 <= loop.time() - started < 2


async def statuses(seed: int) -> list[int]:
    async with client("429=0.3,500=0.2", seed=seed) as calls:
        return [(await post(calls, request("intent", goal="SQL"))).status_code for _ in range(60)]


async def test_faults_follow_from_the_seed() -> None:
    first = await statuses(1)
    assert first == await statuses(1)
    assert first != await statuses(2)
    assert {200, 429, 500} == set(first)


async def test_too_many_requests_tell_when_to_come_back() -> None:
    async with client("429=1") as calls:
        response = await post(calls, request("intent", goal="SQL"))
    assert response.status_code == 429
    assert response.headers["retry-after"] == "1"


async def test_a_truncated_answer_admits_its_length() -> None:
    async with client("truncation=1") as calls:
        reply = (await post(calls, request("intent", goal="SQL"))).json()
    assert reply["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("fault", ["garbage=1", "reset=1", "stall=1", "500=1", "429=1"])
async def test_the_client_takes_each_fault_for_an_outage(fault: str) -> None:
    endpoint = Endpoint(model="any", timeout=0.5, app=create_app(faults=Faults.parse(fault)))
    async with open_provider(endpoint) as provider:
        with pytest.raises(Outage):
            await Llm(provider, NoLedger()).ask(Prompt("intent", "", block("intent", goal="SQL")), Intent)


@pytest.mark.parametrize("text", ["429", "429=x", "teapot=0.1", "429=2", "429=0.6,500=0.6", "500=-1"])
def test_faults_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        Faults.parse(text)


def test_faults_are_drawn_as_often_as_they_were_ordered() -> None:
    faults = Faults.parse(" 429=0.05, stall=0.1 ")
    drawn = [faults.draw(7, call) for call in range(4_000)]
    assert 120 < drawn.count(Mode.TOO_MANY) < 280
    assert 300 < drawn.count(Mode.STALL) < 500
    assert drawn.count(None) > 3_000


async def test_it_serves_the_product_over_real_http() -> None:
    async with served() as url, open_provider(Endpoint(model="any", base_url=url)) as provider:
        llm = Llm(provider, NoLedger())
        quiz = await llm.ask(Prompt("quiz", "", block("quiz", **about(CONCEPTS[0]))), QuizAnswer)
        text = await llm.write(Prompt("tutorial", "", block("tutorial", **about(CONCEPTS[0]))))
    assert len(quiz.questions) == 5
    assert text.startswith("# ")


@pytest.mark.parametrize("fault", ["reset=1", "stall=1"])
async def test_a_broken_or_silent_connection_is_an_outage_over_real_http(fault: str) -> None:
    endpoint = {"model": "any", "timeout": 1.0}
    async with served(fault) as url, open_provider(Endpoint(base_url=url, **endpoint)) as provider:  # type: ignore[arg-type]
        with pytest.raises(Outage):
            await Llm(provider, NoLedger()).ask(Prompt("intent", "", block("intent", goal="SQL")), Intent)


async def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    async with served() as url:
        with pytest.raises(Misconfigured, match="cannot listen"):
            await serve(httpx.URL(url).port or 0)


async def test_it_stops_listening_when_its_caller_cancels(capsys: pytest.CaptureFixture[str]) -> None:
    running = asyncio.create_task(serve(0))
    async with httpx.AsyncClient() as calls, asyncio.timeout(20):
        while not (found := READY.search(capsys.readouterr().out)):
            await asyncio.sleep(0.01)
        health = found[0].removesuffix("/v1") + "/health"
        assert (await calls.get(health)).status_code == 200
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        with pytest.raises(httpx.ConnectError):
            await calls.get(health)
