"""Headers that cannot be taken: each is refused with a problem, or changes nothing."""

import pytest
from inside import Api
from problem_checks import check_problem

from roadmap.ids import new_id

GOAL = {"goal": "Learn SQL"}


@pytest.mark.parametrize("host", ["[", "[::1", "evil.example/x?y=", "a b", "", "\u00e9", "x" * 5_000])
async def test_a_host_that_is_none_changes_nothing(api: Api, host: str) -> None:
    headers = [(b"host", host.encode("latin-1")), (b"idempotency-key", new_id().hex.encode())]
    created = [await api.bob.post("/v1/roadmaps", json=GOAL, headers=headers) for _ in range(2)]
    again = await api.bob.post("/v1/roadmaps", json=GOAL, headers=[headers[1]])
    await api.bob.post("/v1/roadmaps", json=GOAL)
    page = await api.bob.get("/v1/roadmaps?limit=1&q=learn", headers=headers[:1])
    assert [answer.status_code for answer in (*created, again, page)] == [202, 202, 202, 200]
    assert created[0].json() == created[1].json() == again.json()
    assert page.headers["link"].startswith("</v1/roadmaps?limit=1&q=learn&after=")


@pytest.mark.parametrize("given", ["", "x", "-1", "1.5", "1" * 30, "\u00b2", "0x1", "1\x00"])
async def test_a_last_event_id_that_is_no_number_is_refused(api: Api, given: str) -> None:
    created = (await api.alice.post("/v1/roadmaps", json=GOAL)).json()
    headers = [(b"last-event-id", given.encode("latin-1")), (b"accept", b"text/event-stream")]
    answer = await api.alice.get(created["links"]["events"], headers=headers)
    problem = check_problem(answer, 422, "invalid")
    assert problem["errors"][0]["pointer"] == "Last-Event-ID"


@pytest.mark.parametrize("given", ["", "x" * 256, "tab\there", "null\x00"])
async def test_an_idempotency_key_that_cannot_be_used_is_refused(api: Api, given: str) -> None:
    answer = await api.alice.post("/v1/roadmaps", json=GOAL, headers=[(b"idempotency-key", given.encode())])
    problem = check_problem(answer, 422, "invalid")
    assert problem["errors"][0]["pointer"] == "Idempotency-Key"


CREDENTIALS = {
    "none": "",
    "no scheme": "rk_secret",
    "another scheme": "Basic cms6cms=",
    "no key": "Bearer",
    "a blank key": "Bearer   ",
    "a key of somebody else": "Bearer sk-proj-17",
    "an unknown key": "Bearer rk_" + "x" * 43,
    "a long key": "Bearer rk_" + "x" * 5_000,
    "a key with a null character": "Bearer rk_\x00",
    "a key that is not ASCII": "Bearer rk_\u00e9\u00ff",
}


@pytest.mark.parametrize("given", CREDENTIALS.values(), ids=CREDENTIALS.keys())
async def test_a_wrong_key_is_refused(api: Api, given: str) -> None:
    answer = await api.nobody.get("/v1/roadmaps", headers=[(b"authorization", given.encode("latin-1"))])
    check_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "xxx" not in answer.text


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\u00e9", 'a"b', "<script>"])
async def test_a_request_id_that_is_not_plain_is_replaced(api: Api, given: str) -> None:
    answer = await api.alice.get("/nothing", headers=[(b"x-request-id", given.encode("latin-1"))])
    check_problem(answer, 404, "not_found")
    assert answer.headers["x-request-id"] != given


async def test_a_request_id_is_echoed(api: Api) -> None:
    answer = await api.alice.get("/nothing", headers={"x-request-id": "caller-17.a_B"})
    assert check_problem(answer, 404, "not_found")["request_id"] == "caller-17.a_B"
