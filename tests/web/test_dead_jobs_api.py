"""/v1/admin/dead-jobs: pages, filters, selections, and what becomes of them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from inside import Api, in_process, open_api
from problem_checks import check_problem
from test_backlog import full

from roadmap.accounts.keys import create_key
from roadmap.audit.store import Filters, list_entries
from roadmap.dead_jobs.service import bury_unexecuted
from roadmap.ids import new_id
from roadmap.queue.model import Job, Unexecuted

PATH = "/v1/admin/dead-jobs"


@pytest.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with open_api(database_url, redis_url, backlog_limit=5) as opened:
        yield opened


@pytest.fixture
async def operator(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    key = await create_key(api.db, "olga@example.org", "tests", None, operator=True)
    async with in_process(api.state, key.secret) as client:
        yield client


@pytest.fixture
async def dead(api: Api, operator: httpx.AsyncClient) -> dict[str, str]:
    """The ids by their jobs' ids: five that no worker knows, one that can be retried."""
    for job in (*(Job("unheard_of", f"j{number}") for number in range(5)), Job("draft", "good", (new_id().hex,))):
        await bury_unexecuted(api.db, "content", Unexecuted(job.id, job.function, "unknown_function", job.payload(1)))
    listed = (await operator.get(PATH, params={"limit": 100})).json()["data"]
    return {one["job_id"]: one["id"] for one in listed}


async def page(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_pages_and_filters(operator: httpx.AsyncClient, dead: dict[str, str]) -> None:
    first = await page(operator, limit=4)
    rest = await page(operator, limit=4, after=first["next_cursor"])
    ids = [one["id"] for one in first["data"] + rest["data"]]
    assert (ids, rest["has_more"]) == (sorted(dead.values(), reverse=True), False)
    assert len((await page(operator, function="draft"))["data"]) == 1
    assert len((await page(operator, code="unknown_function"))["data"]) == 6
    fingerprint = first["data"][0]["fingerprint"]
    assert len((await page(operator, fingerprint=fingerprint))["data"]) in {1, 5}
    assert (await page(operator, status="discarded"))["data"] == []
    failures = (await operator.get("/v1/admin/failures")).json()
    assert [group["count"] for group in failures["data"]] == [5, 1]
    assert (failures["groups"], failures["dead_jobs"]) == (2, 6)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"all": False},
        {"ids": []},
        {"ids": ["dead_1"]},
        {"fingerprint": "x"},
        {"all": True, "fingerprint": "0" * 16},
    ],
    ids=str,
)
async def test_a_selection_is_exactly_one_of_three(operator: httpx.AsyncClient, body: dict[str, Any]) -> None:
    for action in ("retry", "discard"):
        check_problem(await operator.post(f"{PATH}/{action}", json=body), 422, "invalid")


async def test_retry_tells_what_was_done_and_why_not_and_discard_deals_with_the_rest(
    api: Api, operator: httpx.AsyncClient, dead: dict[str, str]
) -> None:
    nobodys = f"dead_{new_id().hex}"
    chosen = [dead["j0"], dead["good"], nobodys]
    outcome = (await operator.post(f"{PATH}/retry", json={"ids": chosen})).json()
    assert (outcome["done"], outcome["left"], outcome["has_more"]) == (1, 2, False)
    assert {one["id"] for one in outcome["skipped"]} == {dead["j0"], nobodys}
    detail = (await operator.get(f"{PATH}/{dead['good']}")).json()
    assert (detail["status"], detail["resolved_by"][:4], detail["traceback"]) == ("retried", "usr_", None)
    outcome = (await operator.post(f"{PATH}/discard", json={"all": True})).json()
    assert outcome == {"done": 5, "left": 0, "skipped": [], "has_more": False}
    check_problem(await operator.get(f"{PATH}/{nobodys}"), 404, "not_found")
    discarded, retried, *_ = await list_entries(api.db, Filters(), None, 10)
    assert {discarded.actor, retried.actor} == {"key of olga@example.org"}
    assert (retried.action, retried.subject, retried.details["done"]) == ("dead_jobs_retried", "3 dead jobs", 1)
    assert (discarded.action, discarded.subject) == ("dead_jobs_discarded", "all dead jobs")


async def test_a_roadmap_is_not_completed_while_too_much_work_waits(api: Api, redis_url: str) -> None:
    created = (await api.alice.post("/v1/roadmaps", json={"goal": "Learn SQL"})).json()
    await api.alice.post(created["links"]["cancel"])
    path = f"{created['links']['self']}/complete"
    async with full(redis_url, api, 10):
        check_problem(await api.alice.post(path, json={}), 503, "backlog_full")
    runs = (await api.alice.get(created["links"]["runs"])).json()["data"]
    assert [run["kind"] for run in runs] == ["create"]
