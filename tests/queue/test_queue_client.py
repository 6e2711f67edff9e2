"""The producer: atomic, without duplicates, and never in its caller's way when Redis is."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
import pytest
from redis_server import RedisServer, free_port
from waiting import eventually

from roadmap.queue.client import Queue, open_queue
from roadmap.queue.model import Job, load_job

HOUR = 3600


def job(name: str, **fields: float) -> Job:
    return Job("write", name, (name,), **fields)  # type: ignore[arg-type]


async def test_an_offered_job_is_in_arqs_own_format(server: RedisServer, queue: Queue) -> None:
    assert await queue.offer("content", [Job("write", "w1", ("run", 7))])
    payload = orjson.loads(await server.client.get("arq:job:w1"))
    assert payload == {"t": None, "f": "write", "a": ["run", 7], "k": {}, "et": payload["et"]}
    assert abs(payload["et"] / 1000 - time.time()) < 60
    assert 6 * 86400 < await server.client.ttl("arq:job:w1") <= 7 * 86400
    assert await server.client.llen("arq:wake:content") == 1


async def test_a_queued_id_is_not_queued_twice_and_keeps_its_first_payload(server: RedisServer, queue: Queue) -> None:
    await queue.offer("content", [Job("write", "w1", ("first",))])
    assert await queue.offer("content", [Job("write", "w1", ("second",)), job("w2")])
    assert await queue.depth("content") == 2
    assert orjson.loads(await server.client.get("arq:job:w1"))["a"] == ["first"]


async def test_a_payload_that_nobody_queued_does_not_block_its_id(server: RedisServer, queue: Queue) -> None:
    await server.client.set("arq:job:w1", b"orphan")
    await queue.offer("content", [job("w1")])
    assert load_job(await server.client.get("arq:job:w1"))["a"] == ["w1"]


async def test_thousands_of_jobs_are_offered_in_few_calls(server: RedisServer, queue: Queue) -> None:
    assert await queue.offer("content", [job(f"w{number}") for number in range(1200)])
    assert await queue.depth("content") == 1200
    assert (await server.calls())["evalsha"] <= 4
    assert await server.client.llen("arq:wake:content") <= 128


async def test_offering_nothing_asks_nothing(server: RedisServer, queue: Queue) -> None:
    assert await queue.offer("content", [])
    assert "evalsha" not in await server.calls()


async def test_a_job_behind_others_of_its_learner_is_due_later_but_never_in_the_future(
    server: RedisServer, queue: Queue
) -> None:
    await queue.offer("content", [job("busy", behind=200), job("light"), job("endless", behind=10**6)])
    now = time.time() * 1000
    scores = {name.decode(): score for name, score in await server.client.zrange("content", 0, -1, withscores=True)}
    assert list(scores) == ["light", "busy", "endless"]
    assert scores["busy"] - scores["light"] == 200_000
    assert now - (HOUR + 60) * 1000 < scores["light"] < scores["endless"] < now


async def in_order(server: RedisServer) -> list[str]:
    return [name.decode() for name in await server.client.zrange("content", 0, -1)]


async def test_who_waits_for_nothing_stands_a_place_behind_the_front_however_old_that_is(
    server: RedisServer, queue: Queue
) -> None:
    await queue.offer("content", [job(f"busy{number}", behind=number) for number in range(9)])
    for number in range(9):  # half an hour ago: the workers are that slow
        await server.client.zincrby("content", -1_800_000, f"busy{number}")
    await queue.offer("content", [job("light", behind=0), job("light, next", behind=1)])
    assert (await in_order(server))[:5] == ["busy0", "busy1", "light", "busy2", "light, next"]
    await server.client.zrem("content", "busy0", "busy1", "light", "busy2")
    await queue.offer("content", [job("third", behind=0)])
    assert (await in_order(server))[:4] == ["light, next", "busy3", "third", "busy4"], "nobody overtakes the front"


async def test_learners_take_turns_when_one_offered_hundreds_long_before_the_other(
    server: RedisServer, queue: Queue
) -> None:
    await queue.offer("content", [job(f"a{number:03}", behind=number) for number in range(300)])
    for number in range(300):
        await server.client.zincrby("content", -3_000_000, f"a{number:03}")
    await server.client.zremrangebyrank("content", 0, 99)
    await queue.offer("content", [job(f"b{number}", behind=number) for number in range(10)])
    first = (await in_order(server))[:21]
    assert [name[0] for name in first].count("b") == 10
    await queue.offer("content", [job("a300", behind=210)])
    assert (await in_order(server))[-1] == "a300", "the end of its own line"


async def test_jobs_without_a_line_keep_the_order_in_which_they_came(server: RedisServer, queue: Queue) -> None:
    await queue.offer("content", [job("first")])
    await server.client.zincrby("content", -60_000, "first")
    await queue.offer("content", [job("second")])
    await server.client.zincrby("content", -30_000, "second")
    await queue.offer("content", [job("third")])
    assert await in_order(server) == ["first", "second", "third"]


async def test_the_recent_depth_is_asked_for_once_a_second(server: RedisServer, queue: Queue) -> None:
    await queue.offer("content", [job("w1"), job("w2")])
    asked = (await server.calls()).get("zcard", 0)
    for _ in range(200):
        assert await queue.recent_depth("content") == 2
    assert (await server.calls())["zcard"] - asked <= 3
    await queue.offer("content", [job("w3")])

    async def is_three() -> bool:
        return await queue.recent_depth("content") == 3

    await eventually(is_three, "the new depth is known", within=5)


async def test_the_recent_depth_of_a_redis_that_is_away_is_unknown(server: RedisServer, queue: Queue) -> None:
    await server.kill()
    assert await queue.recent_depth("content") is None


async def test_a_delayed_job_is_due_after_its_delay(server: RedisServer, queue: Queue) -> None:
    await queue.offer("logs", [job("later", delay=90.0)])
    assert await server.client.zscore("logs", "later") == pytest.approx((time.time() + 90) * 1000, abs=60_000)


async def test_a_namespace_keeps_queues_and_channels_apart(server: RedisServer) -> None:
    async with open_queue(server.url, namespace="staging", timeout=2) as staging, open_queue(server.url) as other:
        await staging.offer("content", [job("w1")])
        assert await staging.depth("content") == 1
        assert await other.depth("content") == 0
        assert await server.client.keys("*staging*") != []


@pytest.mark.fault("F13")
async def test_a_full_redis_refuses_and_nothing_is_half_written(server: RedisServer, queue: Queue) -> None:
    await server.client.config_set("maxmemory-policy", "noeviction")
    await server.client.config_set("maxmemory", "1")
    assert not await queue.offer("content", [job("w1"), job("w2")])
    assert await server.client.keys("*") == []
    await server.client.config_set("maxmemory", "0")
    assert await queue.offer("content", [job("w1"), job("w2")])


async def test_a_read_only_replica_refuses(server: RedisServer, queue: Queue) -> None:
    await server.client.replicaof("127.0.0.1", free_port())
    assert not await queue.offer("content", [job("w1")])


@pytest.mark.fault("F12")
async def test_calls_against_a_blackhole_end_quickly_and_at_once_when_it_is_known(blackhole: str) -> None:
    async with open_queue(blackhole) as queue:
        for _ in range(3):
            assert await seconds(queue.offer("content", [job("w1")])) < 0.5
        assert await seconds(queue.offer("content", [job("w1")])) < 0.05
        assert await seconds(queue.notify("events", "hello")) < 0.05
        assert await queue.depth("content") is None
        assert await seconds(queue.ping()) < 0.7


@pytest.mark.fault("F10")
async def test_a_redis_that_is_away_at_start_is_found_later(server: RedisServer) -> None:
    await server.kill()
    async with open_queue(server.url, timeout=2) as queue:
        assert not await queue.offer("content", [job("w1")])
        assert not await queue.ping()
        await server.start()
        assert await queue.ping()
        assert await queue.offer("content", [job("w1")])


@pytest.mark.fault("F11")
async def test_a_dead_connection_costs_no_offer(server: RedisServer, queue: Queue) -> None:
    for number in range(5):
        await server.client.client_kill_filter(_type="normal", skipme=True)
        assert await queue.offer("content", [job(f"w{number}")])
    assert await queue.depth("content") == 5


async def test_a_restarted_server_that_lost_its_scripts_costs_no_offer(server: RedisServer, queue: Queue) -> None:
    await queue.offer("content", [job("w1")])
    await server.restart()
    assert await queue.offer("content", [job("w2")])


@pytest.mark.fault("F11")
async def test_a_frozen_server_fails_calls_until_it_thaws(server: RedisServer) -> None:
    async with open_queue(server.url) as queue:
        assert await queue.notify("events", "warm")
        await server.client.client_pause(700)
        assert await seconds(queue.offer("content", [job("w1")])) < 0.5
        assert await eventually(lambda: queue.offer("content", [job("w2")]), "the pause ends")


async def test_a_listener_hears_what_is_said_after_its_first_none(queue: Queue) -> None:
    async with aclosing(queue.listen("events")) as heard:
        assert await anext(heard) is None
        assert await queue.notify("events", "größer")
        assert await anext(heard) == "größer"


@pytest.mark.fault("F11")
async def test_a_listener_survives_a_cut_connection_and_a_restart_and_says_so(
    server: RedisServer, queue: Queue
) -> None:
    async with aclosing(queue.listen("events")) as heard:
        assert await anext(heard) is None
        await server.client.client_kill_filter(_type="pubsub")
        assert await anext(heard) is None
        await server.restart()
        assert await anext(heard) is None
        await eventually(lambda: queue.notify("events", "still here"), "the queue is back")
        assert await anext(heard) == "still here"


async def test_a_closed_listener_leaves_no_connection(server: RedisServer, queue: Queue) -> None:
    listeners: list[AsyncGenerator[str | None, None]] = [queue.listen("events") for _ in range(3)]
    for listener in listeners:
        await anext(listener)
    for listener in listeners:
        await listener.aclose()

    async def gone() -> bool:
        return not await server.client.client_list(_type="pubsub")

    await eventually(gone, "no subscriber is connected")


@pytest.mark.fault("F22")
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80\x04N.",
        b"[]",
        b'{"f":1,"a":[],"k":{},"t":null,"et":1}',
        b'{"f":"x","a":[],"k":{},"t":null,"et":1e300}',
    ],
)
def test_what_is_not_a_job_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - all that arq asks for
        load_job(payload)


async def seconds(call: object) -> float:
    start = time.monotonic()
    assert not await call  # type: ignore[misc]
    return time.monotonic() - start
