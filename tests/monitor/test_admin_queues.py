"""GET /v1/admin/queues: how long each is, and since when its oldest job waits, also without a worker."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from inside import Api, in_process, open_api
from redis.asyncio import Redis
from waiting import eventually

from roadmap.accounts.keys import create_key
from roadmap.heartbeat import Process, Vitals, open_heartbeat
from roadmap.queue.model import KEPT_MS, Job


@dataclass(frozen=True, slots=True)
class Room:
    api: Api
    redis: Redis
    operator: httpx.AsyncClient

    async def queues(self) -> dict[str, dict[str, Any]]:
        answer = await self.operator.get("/v1/admin/queues")
        assert answer.status_code == 200
        return {queue["name"]: queue for queue in answer.json()["data"]}

    async def offer(self, *jobs: Job) -> None:
        assert await self.api.state.runtime.queue.offer("content", jobs)

    async def age(self, job_id: str, seconds: float) -> None:
        """As if the job had been offered so many seconds earlier."""
        await self.redis.pexpire(f"arq:job:{job_id}", KEPT_MS - int(seconds * 1000))


@pytest.fixture
async def room(database_url: str, redis_url: str) -> AsyncIterator[Room]:
    async with open_api(database_url, redis_url) as api, Redis.from_url(redis_url) as redis:
        key = await create_key(api.db, "olga@example.org", "tests", None, operator=True)
        async with in_process(api.state, key.secret) as operator:
            yield Room(api, redis, operator)


async def test_an_empty_queue_is_shown_as_empty(room: Room) -> None:
    for queue in (await room.queues()).values():
        assert (queue["depth"], queue["running"], queue["oldest_waiting_seconds"], queue["workers"]) == (0, 0, None, 0)
        assert (queue["rate_in"], queue["rate_out"], queue["drain_seconds"], queue["paused_at"]) == (0, 0, 0, None)
        assert (queue["level"], queue["reasons"]) == ("amber", ["no worker serves it"])


async def test_the_oldest_is_the_one_that_waits_longest_wherever_it_stands(room: Room) -> None:
    await room.offer(*(Job("work", f"j{number}", (), behind=number) for number in range(20)))
    await room.age("j17", 300)
    await room.age("j3", 100)
    content = (await room.queues())["content"]
    assert (content["depth"], content["running"]) == (20, 0)
    assert 300 <= content["oldest_waiting_seconds"] < 310


async def test_what_runs_does_not_wait(room: Room) -> None:
    await room.offer(Job("work", "old"), Job("work", "new"))
    await room.age("old", 300)
    await room.redis.set("arq:in-progress:old", "1", px=60_000)
    content = (await room.queues())["content"]
    assert (content["depth"], content["running"]) == (2, 1)
    assert 0 <= content["oldest_waiting_seconds"] < 60


async def test_a_job_that_is_not_due_yet_and_one_without_a_payload_are_no_trouble(room: Room) -> None:
    await room.offer(Job("work", "later", delay=3600))
    await room.redis.zadd("content", {"lost": time.time() * 1000})
    content = (await room.queues())["content"]
    assert (content["depth"], content["running"], content["oldest_waiting_seconds"]) == (2, 0, 0)


async def test_of_a_long_queue_the_first_twenty_that_wait_are_asked_for_their_age(room: Room) -> None:
    await room.offer(*(Job("work", f"j{number:04}", (), behind=number) for number in range(3000)))
    await room.age("j0010", 50)
    await room.age("j0900", 300)
    before = await room.redis.info("commandstats")
    content = (await room.queues())["content"]
    after = await room.redis.info("commandstats")
    assert after["cmdstat_pttl"]["calls"] - before.get("cmdstat_pttl", {"calls": 0})["calls"] == 20
    assert content["depth"] == 3000
    assert 50 <= content["oldest_waiting_seconds"] < 60


async def test_the_workers_of_a_queue_are_those_that_live(room: Room) -> None:
    async with (
        open_heartbeat(room.api.db, "c1", Process.CONTENT, lambda: Vitals(0)),
        open_heartbeat(room.api.db, "c2", Process.CONTENT, lambda: Vitals(0)),
        open_heartbeat(room.api.db, "w1", Process.WEB, lambda: Vitals(0)),
    ):

        async def counted() -> bool:
            return {name: queue["workers"] for name, queue in (await room.queues()).items()} == {
                "content": 2,
                "logs": 0,
            }

        await eventually(counted, "two serve content, none logs")


async def test_while_redis_is_away_nothing_is_made_up(database_url: str) -> None:
    async with open_api(database_url, "redis://127.0.0.1:1/0", auth_mode="none") as api:
        answer = await api.nobody.get("/v1/admin/queues")
    assert [queue["name"] for queue in answer.json()["data"]] == ["content", "logs"]
    for queue in answer.json()["data"]:
        assert {queue[name] for name in ("depth", "running", "oldest_waiting_seconds", "drain_seconds")} == {None}
        assert queue["level"] == "amber"
        assert "Redis is away: new work waits in PostgreSQL" in queue["reasons"]
