"""What we use of arq 0.28 beyond its documentation, and that its own tools still fit ours."""

import inspect
from importlib.metadata import version
from typing import Any

import arq.connections
import arq.constants
import arq.cron
import arq.worker
import pytest
from redis_server import RedisServer
from waiting import eventually
from working import Journal, working

from roadmap.queue.client import Queue
from roadmap.queue.connection import open_client
from roadmap.queue.model import Job, dump_job, load_job
from roadmap.queue.pool import arq_pool, blocking_client, redis_settings


def test_arq_is_the_version_that_we_know() -> None:
    assert version("arq").startswith("0.28.")


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("main", ["self"]),
        ("async_run", ["self"]),
        ("run_job", ["self", "job_id", "score"]),
        (
            "finish_job",
            [
                "self",
                "job_id",
                "finish",
                "result_data",
                "result_timeout_s",
                "keep_result_forever",
                "incr_score",
                "keep_in_progress",
            ],
        ),
        ("finish_failed_job", ["self", "job_id", "result_data"]),
        ("heart_beat", ["self"]),
        ("record_health", ["self"]),
        ("run_cron", ["self", "n", "delay", "num_windows"]),
        ("handle_sig", ["self", "signum"]),
        ("handle_sig_wait_for_completion", ["self", "signum"]),
        ("close", ["self"]),
    ],
)
def test_the_methods_that_we_use_or_replace_are_as_we_know_them(method: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(arq.worker.Worker, method)).parameters) == parameters


async def test_the_attributes_that_we_use_are_there(server: RedisServer) -> None:
    pool = arq_pool(server.url, "content")
    worker = arq.worker.Worker(Journal().functions(), redis_pool=pool, handle_signals=False)
    for name in (
        "tasks",
        "job_tasks",
        "functions",
        "ctx",
        "loop",
        "main_task",
        "max_jobs",
        "cron_jobs",
        "pool",
        "_pool",
    ):
        assert hasattr(worker, name), name
    for name in ("on_startup", "on_shutdown", "on_job_start", "on_job_end", "after_job_end", "in_progress_timeout_s"):
        assert hasattr(worker, name), name
    assert isinstance(worker.functions["write"], arq.worker.Function)
    await pool.aclose()


def test_the_keys_are_the_ones_that_we_write() -> None:
    assert arq.constants.job_key_prefix == "arq:job:"
    assert arq.constants.in_progress_key_prefix == "arq:in-progress:"


def test_the_options_that_we_set_exist() -> None:
    from roadmap.queue.execution import _settings

    known = inspect.signature(arq.worker.Worker).parameters
    assert set(_settings(arq_pool("redis://localhost", "content"))) <= set(known)


async def test_a_stock_worker_consumes_what_we_offer(server: RedisServer, queue: Queue) -> None:
    journal = Journal()
    await queue.offer("content", [Job("write", "w1", ("w1",))])
    worker = arq.worker.Worker(
        journal.functions(),
        queue_name="content",
        redis_settings=redis_settings(server.url),
        handle_signals=False,
        burst=True,
        job_serializer=dump_job,
        job_deserializer=load_job,
        poll_delay=0.01,
    )
    await worker.async_run()
    await worker.close()
    assert journal.ended == ["w1"]
    assert await queue.depth("content") == 0


async def test_we_consume_what_a_stock_client_enqueues(server: RedisServer) -> None:
    journal = Journal()
    client = await arq.connections.create_pool(
        redis_settings(server.url), job_serializer=dump_job, default_queue_name="content"
    )
    await client.enqueue_job("write", "w1")
    await client.aclose()
    async with working(server.url, journal.functions()):
        await eventually(lambda: journal.ended == ["w1"], "it runs")


async def test_a_stock_worker_and_ours_share_a_queue(server: RedisServer, queue: Queue) -> None:
    journal = Journal()
    stock = arq.worker.Worker(
        journal.functions(),
        redis_pool=arq_pool(server.url, "content"),
        queue_name="content",
        handle_signals=False,
        burst=True,
        keep_result=0,
        job_serializer=dump_job,
        job_deserializer=load_job,
        poll_delay=0.01,
    )
    await queue.offer("content", [Job("write", f"w{number}", (f"w{number}",)) for number in range(200)])
    async with working(server.url, journal.functions()):
        await stock.async_run()
        await eventually(lambda: len(journal.ended) >= 200, "all jobs ran")
    await stock.close()
    assert len(journal.ran) == 200


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", {"port": 6379, "database": 0, "password": None, "ssl": False}),
        ("redis://me:p%40ss%2Fword@cache:7000/3", {"username": "me", "password": "p@ss/word", "database": 3}),
        ("rediss://:secret@cache", {"ssl": True, "ssl_check_hostname": True, "ssl_cert_reqs": "required"}),
        ("rediss://cache?ssl_cert_reqs=none", {"ssl": True, "ssl_check_hostname": False, "ssl_cert_reqs": "none"}),
        ("unix:///run/redis.sock?db=2", {"unix_socket_path": "/run/redis.sock", "database": 2}),
    ],
)
def test_arqs_own_settings_say_the_same_as_the_url(url: str, expected: dict[str, Any]) -> None:
    settings = redis_settings(url)
    assert {name: getattr(settings, name) for name in expected} == expected


@pytest.mark.parametrize("url", ["rediss://cache", "rediss://cache?ssl_cert_reqs=none", "unix:///run/redis.sock?db=2"])
async def test_every_kind_of_url_makes_connections_of_its_kind(url: str) -> None:
    pool = arq_pool(url, "content")
    clients = [pool, blocking_client(pool), open_client(url, timeout=1, size=1)]
    for client in clients:
        connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        assert ("ssl_check_hostname" in client.connection_pool.connection_kwargs) == (url == "rediss://cache")
        assert type(connection) is client.connection_pool.connection_class
        await client.aclose()
