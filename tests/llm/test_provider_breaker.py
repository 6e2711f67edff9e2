"""A provider that is away: after five outages nobody asks for a while, and then one tries."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from answers import Notebook
from model_server import Behaviour, ModelServer, answer, garbage, model_server, reset, stall, status
from structlog.testing import capture_logs
from waiting import eventually

from roadmap.errors import Busy, Outage, RoadmapError, Superseded, TimedOut
from roadmap.llm.ask import Llm
from roadmap.llm.client import Endpoint, Provider, open_provider
from roadmap.llm.model import Prompt

PROMPT = Prompt("tutorial", "You teach.", "Teach joins.")
OUTAGES = 5


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as running:
        running.default = lambda _: answer("Joins.")
        yield running


@pytest.fixture
async def provider(server: ModelServer) -> AsyncIterator[Provider]:
    async with open_provider(Endpoint("small", server.url, timeout=0.5)) as opened:
        yield opened


async def write(provider: Provider, notebook: Notebook | None = None) -> str:
    return await Llm(provider, notebook or Notebook()).write(PROMPT)


async def fail(provider: Provider, times: int) -> None:
    for _ in range(times):
        with pytest.raises(RoadmapError):
            await write(provider)


def told(logs: object) -> list[str]:
    return [entry["event"] for entry in logs if entry["event"].startswith("provider_")]  # type: ignore[attr-defined]


@pytest.mark.fault("F19")
@pytest.mark.parametrize("behaviour", [status(500), status(503), reset(), reset(in_body=False), garbage(), stall()])
async def test_after_five_outages_no_call_is_made_and_no_row_is_left(
    server: ModelServer, provider: Provider, behaviour: Behaviour
) -> None:
    server.default = lambda _: behaviour
    notebook = Notebook()
    with capture_logs() as logs:
        await fail(provider, OUTAGES)
        for _ in range(20):
            with pytest.raises(Outage) as caught:
                await write(provider, notebook)
            assert 1 <= caught.value.retry_in <= 5
            assert not isinstance(caught.value, TimedOut)
    assert len(server.calls) == OUTAGES
    assert notebook.planned == {}
    assert told(logs) == ["provider_away"]


async def test_a_provider_that_cannot_be_reached_is_away(unused_tcp_port: int) -> None:
    with socket.socket() as taken:  # bound and not listening
        taken.bind(("127.0.0.1", unused_tcp_port))
        async with open_provider(Endpoint("small", f"http://127.0.0.1:{unused_tcp_port}/v1")) as provider:
            with capture_logs() as logs:
                await fail(provider, OUTAGES + 1)
    assert told(logs) == ["provider_away"]


@pytest.mark.parametrize(
    "behaviour",
    [status(429, {"retry-after": "1"}), status(401), status(404), answer("")],
    ids=["429", "401", "404", "empty"],
)
async def test_a_provider_that_refuses_is_there(server: ModelServer, provider: Provider, behaviour: Behaviour) -> None:
    server.default = lambda _: behaviour
    with capture_logs() as logs:
        await fail(provider, 2 * OUTAGES)
    assert len(server.calls) >= 2 * OUTAGES
    assert told(logs) == []


async def test_a_429_is_told_apart_from_an_outage(server: ModelServer, provider: Provider) -> None:
    server.script(status(429, {"retry-after": "7"}))
    with pytest.raises(Busy) as caught:
        await write(provider)
    assert caught.value.retry_in == 7


@pytest.mark.parametrize("between", [answer("Joins."), status(429)])
async def test_only_outages_in_a_row_count(server: ModelServer, provider: Provider, between: Behaviour) -> None:
    for _ in range(4):
        server.script(*[status(500)] * (OUTAGES - 1), between)
    for _ in range(4 * OUTAGES):
        await asyncio.gather(write(provider), return_exceptions=True)
    assert len(server.calls) == 4 * OUTAGES


@pytest.mark.fault("F19")
async def test_after_the_pause_one_call_tries_and_its_answer_opens_the_way(
    server: ModelServer, provider: Provider
) -> None:
    server.default = lambda _: status(500)
    await fail(provider, OUTAGES)
    server.default = _after_a_while(answer("Joins."))
    with capture_logs() as logs:

        async def ask_all() -> list[str]:
            """Ten at once, all the time: those that were let through."""
            asked = await asyncio.gather(*(write(provider) for _ in range(10)), return_exceptions=True)
            return [text for text in asked if isinstance(text, str)]

        probed = await eventually(ask_all, "one call is let through", within=20)
        assert probed == ["Joins."]
        assert len(server.calls) == OUTAGES + 1
        assert await ask_all() == ["Joins."] * 10
    assert told(logs) == ["provider_back"]


async def test_a_probe_that_its_ledger_refuses_leaves_the_way_to_the_next(
    server: ModelServer, provider: Provider
) -> None:
    server.default = lambda _: status(500)
    await fail(provider, OUTAGES)
    server.default = lambda _: answer("Joins.")
    unwanted = Notebook()
    unwanted.active = False

    async def refused() -> bool:
        error, *_ = await asyncio.gather(write(provider, unwanted), return_exceptions=True)
        return isinstance(error, Superseded)

    await eventually(refused, "the pause is over", within=20)
    assert await write(provider) == "Joins."


async def test_a_run_whose_calls_all_fail_pauses_alone(server: ModelServer, provider: Provider) -> None:
    server.default = lambda _: status(500)
    struck = Notebook()
    with capture_logs() as logs:
        for _ in range(OUTAGES):
            with pytest.raises(Outage):
                await write(provider, struck)
        server.default = lambda _: answer("Joins.")
        assert [await write(provider) for _ in range(5)] == ["Joins."] * 5
        with pytest.raises(Outage):
            await write(provider, struck)
    assert len(server.calls) == OUTAGES + 5
    assert told(logs) == []


async def test_two_runs_whose_calls_all_fail_do_not_keep_the_others_away_for_long(
    server: ModelServer, provider: Provider
) -> None:
    server.default = lambda _: status(500)
    notebooks = Notebook(), Notebook()
    for notebook in notebooks * OUTAGES:
        await asyncio.gather(write(provider, notebook), return_exceptions=True)
    assert len(server.calls) == OUTAGES
    server.default = lambda _: answer("Joins.")

    async def is_back() -> bool:
        (said,) = await asyncio.gather(write(provider), return_exceptions=True)
        return said == "Joins."

    await eventually(is_back, "another run's call is the probe", within=20)
    server.default = lambda _: status(500)
    for notebook in notebooks * OUTAGES:
        await asyncio.gather(write(provider, notebook), return_exceptions=True)
    server.default = lambda _: answer("Joins.")
    assert await write(provider) == "Joins."


def _after_a_while(behaviour: Behaviour) -> Callable[[object], Behaviour]:
    async def late(call: object, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await behaviour(call, writer)  # type: ignore[arg-type]

    return lambda _: late


async def test_calls_that_were_under_way_when_it_went_away_do_not_make_the_pause_longer(
    server: ModelServer, provider: Provider
) -> None:
    server.default = lambda _: status(500)
    asked = await asyncio.gather(*(write(provider) for _ in range(30)), return_exceptions=True)
    assert all(isinstance(error, Outage) for error in asked)
    with pytest.raises(Outage) as caught:
        await write(provider)
    assert caught.value.retry_in <= 5
