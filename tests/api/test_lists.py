"""Lists: pages by cursor are complete, without doubles, and cost the same however much there is."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from inside import Api, in_process

from roadmap.database import Database, Row

PATH = "/v1/roadmaps"


async def create(client: httpx.AsyncClient, count: int, goal: str = "Learn number") -> list[str]:
    """Ids, newest first."""
    ids = [(await client.post(PATH, json={"goal": f"{goal} {n}"})).json()["id"] for n in range(count)]
    return ids[::-1]


async def read_all(client: httpx.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:
    """Every row, page by page, by the Link header."""
    rows: list[dict[str, Any]] = []
    answer = await client.get(path, params=query)
    while True:
        assert answer.status_code == 200, answer.text
        page = answer.json()
        rows += page["data"]
        assert page["has_more"] == (page["next_cursor"] is not None) == ("link" in answer.headers)
        if not page["has_more"]:
            return rows
        link = re.fullmatch(r'<(/[^>]+)>; rel="next"', answer.headers["link"])
        assert link is not None
        answer = await client.get(link[1])


@pytest.mark.parametrize("limit", [1, 3, 7, 8, 100])
async def test_pages_are_complete_and_without_doubles(api: Api, limit: int) -> None:
    ids = await create(api.alice, 7)
    assert [row["id"] for row in await read_all(api.alice, PATH, limit=limit)] == ids


async def test_rows_that_come_in_meanwhile_move_nothing(api: Api) -> None:
    ids = await create(api.alice, 6)
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.alice.get(PATH, params=query)).json()
        seen += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            break
        await create(api.alice, 2, "Learn meanwhile")
        query["after"] = page["next_cursor"]
    assert seen == ids


async def test_the_next_page_keeps_the_filters(api: Api) -> None:
    wanted = await create(api.alice, 5, "Learn 100% SQL")
    await create(api.alice, 5, "Learn Rust")
    assert [row["id"] for row in await read_all(api.alice, PATH, limit=2, q="100% sql")] == wanted


async def test_a_text_is_looked_for_as_it_is(api: Api) -> None:
    await create(api.alice, 1, "Learn a_b%c\\d")
    await create(api.alice, 1, "Learn axbyczd")
    for text, found in {"a_b%c\\d": 1, "A_B%C": 1, "_": 1, "%": 1, "\\": 1, "learn": 2, "nothing": 0}.items():
        assert len(await read_all(api.alice, PATH, q=text)) == found, text


async def test_roadmaps_are_found_by_status(api: Api) -> None:
    created = (await api.alice.post(PATH, json={"goal": "Learn to stop"})).json()
    await create(api.alice, 2)
    await api.alice.post(created["links"]["cancel"])
    assert [row["id"] for row in await read_all(api.alice, PATH, status="canceled")] == [created["id"]]
    assert len(await read_all(api.alice, PATH, status="queued")) == 2
    assert await read_all(api.alice, PATH, status="succeeded") == []
    for nonsense in ("nonsense", "ready", "", "QUEUED"):
        assert (await api.alice.get(PATH, params={"status": nonsense})).status_code == 422, nonsense


async def test_roadmaps_are_found_by_age(api: Api) -> None:
    await create(api.alice, 2)
    now = datetime.now(UTC)
    before, after = (moment.isoformat() for moment in (now - timedelta(minutes=5), now + timedelta(minutes=5)))
    assert len(await read_all(api.alice, PATH, created_after=before)) == 2
    assert await read_all(api.alice, PATH, created_after=after) == []


async def test_a_cursor_shows_nobody_the_rows_of_another(api: Api) -> None:
    await create(api.alice, 3)
    cursor = (await api.alice.get(PATH, params={"limit": 1})).json()["next_cursor"]
    assert (await api.bob.get(PATH, params={"after": cursor})).json()["data"] == []


async def test_runs_are_paged_as_well(api: Api) -> None:
    created = (await api.alice.post(PATH, json={"goal": "Learn SQL"})).json()
    rows = await read_all(api.alice, created["links"]["runs"], limit=1)
    assert [row["id"] for row in rows] == [created["run"]["id"]]


class Watched(Database):
    """Notes every statement that is run through it."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner._pool, inner._acquire_timeout)
        self.statements: list[str] = []

    async def fetch(self, query: str, *args: Any) -> list[Row]:
        self.statements.append(query)
        return await super().fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> Row | None:
        self.statements.append(query)
        return await super().fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        self.statements.append(query)
        return await super().fetchval(query, *args)


@pytest.mark.parametrize(("link", "most"), [("", 1), ("runs", 2), ("log", 2), ("events", 2)])
async def test_a_list_costs_the_same_however_long_it_is(api: Api, link: str, most: int) -> None:
    watched = Watched(api.db)
    state = replace(api.state, runtime=replace(api.state.runtime, db=watched))
    async with in_process(state, api.keys[0]) as client:
        for count in (1, 30):
            await create(client, count)
            created = (await client.post(PATH, json={"goal": "Learn SQL"})).json()
            watched.statements.clear()
            answer = await client.get(created["links"][link] if link else PATH, params={"limit": 100})
            assert answer.status_code == 200
            assert 1 <= len(watched.statements) <= most
            assert not re.search(r"\bstructure\b|\bbody\b|\*", " ".join(watched.statements))


async def test_times_are_utc_and_say_so(api: Api) -> None:
    await create(api.alice, 1)
    row = (await read_all(api.alice, PATH))[0]
    for name in ("created_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row[name])
