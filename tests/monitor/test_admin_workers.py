"""GET /v1/admin/workers: who lives, who sleeps, who died."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from inside import in_process, open_api

from roadmap.accounts.keys import create_key
from roadmap.database import Database

INSERT = """
INSERT INTO workers (name, process, host, pid, version, started_at, seen_at, polled_at, running, loop_lag_ms,
                     memory_bytes, connections, connections_used)
VALUES ($1, $2, 'here', 7, '0.1', now() - interval '1 hour', now() - make_interval(secs => $3),
        now() - make_interval(secs => $4), 2, 15, 50000000, 3, 1)
"""


@pytest.fixture
async def operator(database_url: str, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with open_api(database_url, redis_url) as api:
        key = await create_key(api.db, "olga@example.org", "tests", None, operator=True)
        async with in_process(api.state, key.secret) as client:
            yield client


async def workers(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer = await client.get("/v1/admin/workers")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


@pytest.mark.parametrize(
    ("process", "seen_ago", "polled_ago", "state"),
    [
        ("content", 1, 5, "alive"),
        ("content", 14, 59, "alive"),
        ("content", 1, 61, "asleep"),
        ("content", 16, 5, "dead"),
        ("logs", 16, 100, "dead"),
        ("logs", 1, None, "alive"),
        ("web", 1, None, "alive"),
        ("web", 16, None, "dead"),
    ],
)
async def test_a_process_is_what_its_last_words_say(
    operator: httpx.AsyncClient,
    database: Database,
    process: str,
    seen_ago: float,
    polled_ago: float | None,
    state: str,
) -> None:
    await database.execute(INSERT, "w", process, seen_ago, polled_ago)
    [worker] = await workers(operator)
    assert (worker["process"], worker["state"]) == (process, state)
    assert seen_ago <= worker["silent_seconds"] < seen_ago + 1
    assert (worker["polled_at"] is None) == (polled_ago is None)
    figures = {name: worker[name] for name in ("host", "pid", "version", "running", "loop_lag_ms", "memory_bytes")}
    expected = {"host": "here", "pid": 7, "version": "0.1", "running": 2, "loop_lag_ms": 15, "memory_bytes": 50_000_000}
    assert figures == expected
    assert (worker["connections"], worker["connections_used"]) == (3, 1)


async def test_the_latest_comes_first_and_the_list_is_bounded(operator: httpx.AsyncClient, database: Database) -> None:
    for number in range(510):
        await database.execute(INSERT, f"w{number:03}", "content", 600 - number, None)
    found = await workers(operator)
    assert [worker["name"] for worker in found] == [f"w{number:03}" for number in range(509, 9, -1)]


async def test_who_is_no_operator_is_told_so(database_url: str, redis_url: str) -> None:
    async with open_api(database_url, redis_url) as api:
        for path in ("/v1/admin/workers", "/v1/admin/queues"):
            answer = await api.alice.get(path)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            assert (await api.nobody.get(path)).status_code == 401


async def test_the_one_user_of_a_machine_is_its_operator(database_url: str, redis_url: str) -> None:
    async with open_api(database_url, redis_url, auth_mode="none") as api:
        assert (await api.nobody.get("/v1/admin/workers")).json() == {"data": []}
