"""A process answers so many requests at once; whoever comes beyond is told so at once, and may try again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
from httpx_sse import aconnect_sse
from inside import open_api, serving
from problem_checks import check_problem
from stack import api_client
from waiting import eventually

PATH = "/v1/roadmaps"
GOAL = b'{"goal": "Learn SQL"}'
JSON = {"Content-Type": "application/json"}


class Slow:
    """A body whose second half comes when it is let."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.let = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield GOAL[:10]
        self.begun.set()
        await self.let.wait()
        yield GOAL[10:]


async def is_refused(client: httpx.AsyncClient) -> bool:
    return (await client.get(PATH)).status_code == 503


async def test_beyond_the_bound_requests_are_refused_and_probes_are_answered(database_url: str, redis_url: str) -> None:
    async with (
        open_api(database_url, redis_url, max_requests=2) as api,
        serving(api.state) as url,
        api_client(url, api.keys[0]) as client,
        asyncio.TaskGroup() as group,
    ):
        slow = [Slow(), Slow()]
        posts = [group.create_task(client.post(PATH, content=body, headers=JSON)) for body in slow]
        for body in slow:
            await body.begun.wait()
        await eventually(lambda: is_refused(client), "two requests are under way")
        refusal = await client.get(PATH)
        assert check_problem(refusal, 503, "overloaded")["retryable"]
        assert refusal.headers["retry-after"] == "1"
        assert refusal.headers["x-request-id"]
        page = await client.get("/monitor")
        assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert page.headers["retry-after"] == "1"
        assert "Too many ask at once" in page.text
        for probe in ("/health", "/ready"):
            assert (await client.get(probe)).status_code == 200
        slow[0].let.set()
        assert (await posts[0]).status_code == 202
        assert (await client.get(PATH)).status_code == 200
        posts[1].cancel()  # its connection is cut
        await asyncio.wait(posts)

        async def has_room_for_two() -> bool:
            answers = await asyncio.gather(client.get(PATH), client.get(PATH))
            return {answer.status_code for answer in answers} == {200}

        await eventually(has_room_for_two, "the one that was cut counts no more")


async def test_open_streams_leave_room_for_requests(database_url: str, redis_url: str) -> None:
    async with (
        open_api(database_url, redis_url, max_requests=1) as api,
        serving(api.state) as url,
        api_client(url, api.keys[0]) as client,
        AsyncExitStack() as streams,
    ):
        events = (await client.post(PATH, content=GOAL, headers=JSON)).json()["links"]["events"]
        for count in range(1, 4):
            source = await streams.enter_async_context(aconnect_sse(client, "GET", events))
            assert source.response.status_code == 200
            await eventually(lambda: api.state.hub.count() == count, "the stream is open")  # noqa: B023
        assert (await client.get(PATH)).status_code == 200
