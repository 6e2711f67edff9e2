"""The line in front of a provider with limits: in order, with an end, and nothing left behind by who leaves it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from answers import Notebook
from model_server import Behaviour, Call, ModelServer, answer, model_server, reset, stall, status
from pydantic import SecretStr
from redis.asyncio import Redis
from structlog.testing import capture_logs
from waiting import eventually

from roadmap.errors import NotYet, Outage, Superseded, Unusable
from roadmap.llm.ask import Llm
from roadmap.llm.client import Endpoint, Provider, open_provider
from roadmap.llm.gate import Gate
from roadmap.llm.model import Prompt
from roadmap.provider import open_model
from roadmap.queue.client import open_queue
from roadmap.queue.limiter import Quota, open_limiter
from roadmap.settings import Settings

# 500 tokens, with what is asked.
PROMPT = Prompt("tutorial", "You teach.", "Teach joins.", max_tokens=495)
SLOTS, RATES = "limits:played:slots", "limits:played:rates"


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as running:
        running.default = lambda _: answer("Joins.")
        yield running


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@asynccontextmanager
async def process(redis_url: str, server: ModelServer, quota: Quota, patience: float = 10.0) -> AsyncIterator[Provider]:
    """What one content worker has, with connections of its own."""
    async with (
        open_queue(redis_url, timeout=2) as queue,
        open_limiter(queue, "played", quota, 1) as limiter,
        open_provider(Endpoint("small", server.url, timeout=30), Gate(limiter, patience)) as provider,
    ):
        yield provider


async def write(provider: Provider, notebook: Notebook | None = None) -> str:
    return await Llm(provider, notebook or Notebook()).write(PROMPT)


class Counter:
    """A model that counts who asks at once, and answers after a while."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def __call__(self, _: Call) -> Behaviour:
        return self._behave

    async def _behave(self, call: Call, writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.03)
            await answer("Joins.")(call, writer)
        finally:
            self.now -= 1


async def all_are_back(redis: Redis) -> None:
    async def empty() -> bool:
        return not await redis.zcard(SLOTS)

    await eventually(empty, "no slot is taken")


async def test_the_model_never_sees_more_calls_at_once_than_two_processes_may_make_together(
    redis_url: str, redis: Redis, server: ModelServer
) -> None:
    server.default = counter = Counter()
    quota = Quota(concurrency=4)
    async with process(redis_url, server, quota) as first, process(redis_url, server, quota) as second:
        await asyncio.gather(*(write(provider) for provider in (first, second) for _ in range(40)))
        await all_are_back(redis)
    assert counter.most == 4
    assert len(server.calls) == 80


async def test_the_model_never_sees_more_requests_than_two_processes_may_make_together(
    redis_url: str, server: ModelServer
) -> None:
    quota = Quota(requests=300)  # 30 at once, then 4.5 a second
    async with process(redis_url, server, quota) as first, process(redis_url, server, quota) as second:
        writing = [asyncio.create_task(write(provider)) for provider in (first, second) for _ in range(40)]
        done, _ = await asyncio.wait(writing, timeout=3)
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
    assert 36 <= len(done) <= len(server.calls) <= 30 + 4.6 * 4


async def test_calls_get_through_in_the_order_in_which_they_came(redis_url: str, server: ModelServer) -> None:
    through = []

    async def ask(provider: Provider, number: int) -> None:
        await write(provider)
        through.append(number)

    async with process(redis_url, server, Quota(concurrency=1)) as provider, asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(ask(provider, number))
    assert through == list(range(30))


async def test_what_would_wait_for_long_comes_back_when_there_is_room_and_leaves_no_row(
    redis_url: str, server: ModelServer
) -> None:
    notebook = Notebook()
    async with process(redis_url, server, Quota(requests=3)) as provider:
        await write(provider)
        with pytest.raises(NotYet) as caught:
            await write(provider, notebook)
    assert 15 < caught.value.retry_in <= 20
    assert notebook.planned == {}
    assert len(server.calls) == 1


async def test_who_has_waited_long_enough_gives_up_its_place(redis_url: str, redis: Redis, server: ModelServer) -> None:
    server.default = lambda _: stall()
    notebook = Notebook()
    async with process(redis_url, server, Quota(concurrency=1), patience=0.3) as provider:
        first = asyncio.create_task(write(provider))
        await eventually(lambda: server.calls, "the first call is made")
        for outcome in await asyncio.gather(*(write(provider, notebook) for _ in range(5)), return_exceptions=True):
            assert isinstance(outcome, NotYet)
            assert outcome.retry_in >= 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await all_are_back(redis)
    assert notebook.planned == {}


async def test_a_cancellation_at_any_moment_frees_its_slot(redis_url: str, redis: Redis, server: ModelServer) -> None:
    dice = random.Random(11)
    async with process(redis_url, server, Quota(concurrency=2, requests=5_000, tokens=10_000_000)) as provider:
        for _ in range(60):
            writing = [asyncio.create_task(write(provider)) for _ in range(5)]
            await asyncio.sleep(dice.random() * 0.03)
            for task in writing:
                task.cancel()
            await asyncio.gather(*writing, return_exceptions=True)
        await all_are_back(redis)
        assert await asyncio.gather(*(write(provider) for _ in range(10))) == ["Joins."] * 10


@pytest.mark.fault("F19")
@pytest.mark.parametrize(
    ("behaviour", "error"),
    [(status(500), Outage), (status(401), Unusable), (reset(), Outage), (status(429), Outage), (answer(""), Unusable)],
)
async def test_however_a_call_ends_its_slot_is_free(
    redis_url: str, redis: Redis, server: ModelServer, behaviour: Behaviour, error: type[Exception]
) -> None:
    server.default = lambda _: behaviour
    async with process(redis_url, server, Quota(concurrency=1)) as provider:
        for _ in range(3):
            with pytest.raises(error):
                await write(provider)
        await all_are_back(redis)


async def test_only_the_tokens_that_a_call_has_used_are_gone(redis_url: str, redis: Redis, server: ModelServer) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 20}
    server.default = lambda _: answer("Joins.", usage=usage)
    async with process(redis_url, server, Quota(tokens=50_000)) as provider:  # 5,000 at once
        for _ in range(30):
            await asyncio.wait_for(write(provider), 5)
        server.default = lambda _: answer("Joins.", usage={"prompt_tokens": 5, "completion_tokens": 40_000})
        await write(provider)
        await all_are_back(redis)
        with pytest.raises(NotYet):
            await write(provider)


async def test_a_call_that_the_ledger_refuses_costs_nothing(redis_url: str, redis: Redis, server: ModelServer) -> None:
    over = Notebook()
    over.active = False
    async with process(redis_url, server, Quota(concurrency=1, requests=10, tokens=5_000)) as provider:
        for _ in range(10):
            with pytest.raises(Superseded):
                await write(provider, over)
        await all_are_back(redis)
        await write(provider)
    assert len(server.calls) == 1


async def test_a_worker_is_told_to_take_few_jobs_more_than_get_through(redis_url: str, server: ModelServer) -> None:
    server.default = lambda _: stall()
    async with process(redis_url, server, Quota(concurrency=2)) as provider, AsyncExitStack() as stack:
        gate = provider.gate
        assert gate is not None
        assert gate.room() == 4
        gate.took(3)
        assert gate.room() == 1, "three are on their way"
        writing = [asyncio.create_task(write(provider)) for _ in range(5)]
        stack.callback(lambda: [task.cancel() for task in writing])
        await eventually(lambda: len(server.calls) == 2, "two calls are made")
        await eventually(lambda: gate.room() == 1, "three wait in line")
        for task in writing[:2]:
            task.cancel()
        await eventually(lambda: gate.room() == 3, "two more got through")


async def test_a_job_that_asks_nothing_is_not_waited_for_for_ever(redis_url: str, server: ModelServer) -> None:
    async with process(redis_url, server, Quota(concurrency=2)) as provider:
        assert provider.gate is not None
        provider.gate.took(4)
        assert provider.gate.room() == 0
        await eventually(lambda: provider.gate.room() == 4, "it has other things to do", within=5)


async def test_while_the_limits_are_used_up_a_worker_takes_nothing(redis_url: str, server: ModelServer) -> None:
    async with process(redis_url, server, Quota(requests=3)) as provider:
        assert provider.gate is not None
        await write(provider)
        with pytest.raises(NotYet):
            await write(provider)
        assert provider.gate.room() == 0


async def test_without_limits_redis_is_never_asked(server: ModelServer) -> None:
    settings = Settings(llm_base_url=server.url, llm_api_key=SecretStr("a-key"), llm_model="small")
    with capture_logs() as logs:
        async with open_queue("redis://127.0.0.1:1/0") as queue, open_model(settings, queue) as provider:
            assert provider.gate is None
            assert await write(provider) == "Joins."
    assert [entry["event"] for entry in logs] == ["model_call"]


async def test_limits_are_kept_by_settings_under_the_name_of_server_and_model(
    redis_url: str, redis: Redis, server: ModelServer
) -> None:
    server.default = lambda _: stall()
    settings = Settings(llm_base_url=server.url, llm_api_key=SecretStr("k"), llm_model="small", llm_concurrency=3)
    async with open_queue(redis_url, namespace="mine") as queue, open_model(settings, queue) as provider:
        writing = [asyncio.create_task(write(provider)) for _ in range(9)]
        await eventually(lambda: len(server.calls) == 3, "three calls are made")
        host = server.url.removeprefix("http://").removesuffix("/v1")
        assert await redis.zcard(f"mine:limits:{host}:small:slots") == 3
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
    assert len(server.calls) == 3
