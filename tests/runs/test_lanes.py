"""As many calls at once as there are connections, over a real socket each."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from model_server import Behaviour, Call, ModelServer, answer
from stack import eventually

from roadmap.errors import Outage, TimedOut
from roadmap.llm.client import Endpoint, Provider, open_provider
from roadmap.llm.model import Completion, Message, Request

ROUNDS = 5
CONNECTIONS = 40
REQUEST = Request("tutorial", (Message("system", "You teach."), Message("user", "Teach joins.")), max_tokens=100)


class Meeting:
    """A model that answers nobody until so many are waiting at once."""

    def __init__(self, size: int) -> None:
        self.waiting = 0
        self._size = size
        self._met = asyncio.Event()

    def __call__(self, _: Call) -> Behaviour:
        return self._behave

    async def gather(self, count: int) -> None:
        await eventually(lambda: self.waiting >= count, f"{count} calls have arrived")

    def half_empty(self) -> bool:
        return self.waiting == CONNECTIONS // 2

    async def _behave(self, call: Call, writer: asyncio.StreamWriter) -> None:
        self.waiting += 1
        try:
            if self.waiting == self._size:
                self._met.set()
            await self._met.wait()
            await answer("Joins.")(call, writer)
        finally:
            self.waiting -= 1


@pytest.fixture
async def provider(server: ModelServer) -> AsyncIterator[Provider]:
    async with open_provider(Endpoint("small", server.url, timeout=10, connections=CONNECTIONS)) as opened:
        yield opened


async def ask_all(provider: Provider) -> set[str]:
    asked: list[Completion] = await asyncio.gather(*(provider.complete(REQUEST) for _ in range(CONNECTIONS)))
    return {completion.text for completion in asked}


async def test_forty_calls_over_forty_connections_are_under_way_at_once(
    server: ModelServer, provider: Provider
) -> None:
    for _ in range(ROUNDS):
        server.default = Meeting(CONNECTIONS)
        assert await ask_all(provider) == {"Joins."}


async def test_a_canceled_call_gives_its_place_back(server: ModelServer, provider: Provider) -> None:
    """Canceled in any moment: before the connection, while it is made, while the model thinks."""
    chance = random.Random(0)
    for _ in range(ROUNDS):
        server.default = nobody = Meeting(CONNECTIONS + 1)
        calls = [asyncio.create_task(provider.complete(REQUEST)) for _ in range(CONNECTIONS)]
        await nobody.gather(chance.randrange(CONNECTIONS + 1))
        for call in chance.sample(calls, CONNECTIONS):
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert all(call.cancelled() for call in calls)
        server.default = Meeting(CONNECTIONS)
        assert await ask_all(provider) == {"Joins."}


async def test_the_places_of_some_canceled_calls_are_taken_while_the_others_go_on(
    server: ModelServer, provider: Provider
) -> None:
    chance = random.Random(0)
    for _ in range(ROUNDS):
        server.default = meeting = Meeting(CONNECTIONS + 1)
        calls = [asyncio.create_task(provider.complete(REQUEST)) for _ in range(CONNECTIONS)]
        await meeting.gather(CONNECTIONS)
        canceled = chance.sample(calls, CONNECTIONS // 2)
        for call in canceled:
            call.cancel()
        await asyncio.gather(*canceled, return_exceptions=True)
        await eventually(meeting.half_empty, "the server has noticed")
        late = [asyncio.create_task(provider.complete(REQUEST)) for _ in canceled]
        kept = [call for call in calls if call not in canceled]
        await meeting.gather(CONNECTIONS)
        for call in [*kept, *late]:
            call.cancel()
        await asyncio.gather(*kept, *late, return_exceptions=True)


@asynccontextmanager
async def swallowing_port() -> AsyncIterator[int]:
    """A port whose line is full: to connect neither succeeds nor is refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        callers = [socket.socket() for _ in range(4)]
        try:
            for caller in callers:
                caller.setblocking(False)
                caller.connect_ex(listener.getsockname())
            yield listener.getsockname()[1]
        finally:
            for caller in callers:
                caller.close()


@pytest.mark.slow
async def test_a_network_that_swallows_connections_is_an_outage_and_no_slow_model() -> None:
    """No question was asked: it costs no try."""
    async with swallowing_port() as port, open_provider(Endpoint("small", f"http://127.0.0.1:{port}/v1")) as opened:
        with pytest.raises(Outage, match="cannot be reached") as caught:
            await opened.complete(REQUEST)
    assert not isinstance(caught.value, TimedOut)
