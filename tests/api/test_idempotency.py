"""Idempotency-Key: a repeated request has one effect, and one answer."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from inside import Api

from roadmap.api.idempotency import forget_old_keys
from roadmap.ids import Prefix, parse_id

PATH = "/v1/roadmaps"
GOAL = {"goal": "Learn SQL"}


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


async def count(api: Api, table: str = "roadmaps") -> int:
    return int(await api.db.fetchval(f"SELECT count(*) FROM {table}"))


async def test_the_same_request_is_answered_the_same_and_has_one_effect(api: Api) -> None:
    headers = key()
    first = await api.alice.post(PATH, json=GOAL, headers=headers)
    again = await api.alice.post(PATH, json=GOAL, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await count(api) == 1


async def test_another_body_under_the_same_key_is_refused(api: Api) -> None:
    headers = key()
    await api.alice.post(PATH, json=GOAL, headers=headers)
    other = await api.alice.post(PATH, json={"goal": "Learn Rust"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert await count(api) == 1


@pytest.mark.fault("F24")
async def test_fifty_requests_at_once_make_one_roadmap(api: Api) -> None:
    headers = key()
    answers = await asyncio.gather(*(api.alice.post(PATH, json=GOAL, headers=headers) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert await count(api) == 1
    assert await count(api, "events") == 1
    assert await api.state.runtime.queue.depth("content") == 1


@pytest.mark.fault("F24")
async def test_fifty_requests_at_once_with_two_bodies_make_one_roadmap(api: Api) -> None:
    headers = key()
    bodies = [GOAL, {"goal": "Learn Rust"}] * 25
    answers = await asyncio.gather(*(api.alice.post(PATH, json=body, headers=headers) for body in bodies))
    assert sorted({answer.status_code for answer in answers}) == [202, 422]
    assert sum(answer.status_code == 202 for answer in answers) == 25
    assert await count(api) == 1


async def test_the_keys_of_two_users_do_not_meet(api: Api) -> None:
    headers = key()
    of_alice = await api.alice.post(PATH, json=GOAL, headers=headers)
    of_bob = await api.bob.post(PATH, json=GOAL, headers=headers)
    assert of_bob.status_code == 202
    assert of_bob.json()["id"] != of_alice.json()["id"]
    assert "idempotency-replayed" not in of_bob.headers


async def test_a_key_belongs_to_its_path(api: Api) -> None:
    headers = key()
    created = (await api.alice.post(PATH, json=GOAL, headers=headers)).json()
    canceled = await api.alice.post(created["links"]["cancel"], headers=headers)
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")


async def test_a_refused_request_leaves_its_key_free(api: Api) -> None:
    headers = key()
    refused = await api.alice.post(PATH, json={"goal": ""}, headers=headers)
    missing = await api.alice.post(f"/v1/runs/run_{'0' * 32}/cancel", headers=headers)
    accepted = await api.alice.post(PATH, json=GOAL, headers=headers)
    assert [refused.status_code, missing.status_code, accepted.status_code] == [422, 404, 202]
    assert await count(api, "idempotency_keys") == 1


@pytest.mark.fault("F24")
async def test_a_first_request_that_takes_long_is_told_of(api: Api) -> None:
    headers = key()
    user_id = await api.db.fetchval(
        "SELECT user_id FROM api_keys WHERE id = (SELECT min(id::text)::uuid FROM api_keys)"
    )
    async with api.db.transaction() as tx:  # the first request, in the middle of its transaction
        await tx.execute(
            "INSERT INTO idempotency_keys (user_id, scope, key, fingerprint, answer) VALUES ($1, $2, $3, '', 'null')",
            user_id,
            f"POST {PATH}",
            headers["Idempotency-Key"],
        )
        answer = await api.alice.post(PATH, json=GOAL, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_flight")
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["retryable"] is True


async def test_a_cancellation_may_be_repeated_with_and_without_a_key(api: Api) -> None:
    cancel = (await api.alice.post(PATH, json=GOAL)).json()["links"]["cancel"]
    headers = key()
    requests = [api.alice.post(cancel, headers=h) for h in (headers, headers, None, None)]
    answers: list[httpx.Response] = await asyncio.gather(*requests)
    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.json()["status"] for answer in answers} == {"canceled"}
    assert await api.db.fetchval("SELECT count(*) FROM events WHERE type = 'run.canceled'") == 1


async def test_keys_are_forgotten_after_a_day(api: Api) -> None:
    old, young = key(), key()
    for headers in (old, young):
        await api.alice.post(PATH, json=GOAL, headers=headers)
    await api.db.execute(
        "UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = $1", old["Idempotency-Key"]
    )
    await forget_old_keys(api.db)
    assert await count(api, "idempotency_keys") == 1


async def test_the_answer_names_what_was_made(api: Api) -> None:
    answer = await api.alice.post(PATH, json=GOAL, headers=key())
    created = answer.json()
    roadmap_id = parse_id(Prefix.ROADMAP, created["id"])
    assert await api.db.fetchval("SELECT goal FROM roadmaps WHERE id = $1", roadmap_id) == GOAL["goal"]
    assert answer.headers["location"] == created["links"]["self"]


@pytest.mark.parametrize("spelling", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
async def test_the_header_may_be_spelt_in_any_case(api: Api, spelling: str) -> None:
    value = uuid4().hex
    await api.alice.post(PATH, json=GOAL, headers={spelling: value})
    assert await api.db.fetchval("SELECT key FROM idempotency_keys") == value
