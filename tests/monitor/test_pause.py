"""A queue that is paused, as the whole service shows it: work is accepted and waits, and is done afterwards."""

from pathlib import Path

import pytest
from inside import two_keys
from stack import api_client, finish, open_stack

from roadmap.accounts.keys import create_key
from roadmap.database import Database


@pytest.mark.slow
async def test_work_that_comes_while_its_queue_is_paused_is_done_when_it_is_resumed(
    tmp_path: Path, database_url: str, redis_url: str, database: Database
) -> None:
    alices, _ = await two_keys(database)
    olgas = (await create_key(database, "olga@example.org", "tests", None, operator=True)).secret
    async with open_stack(tmp_path, database_url, redis_url) as stack:
        await stack.start("web", "content")
        async with api_client(stack.web_url, alices) as alice, api_client(stack.web_url, olgas) as operator:
            assert (await operator.post("/v1/admin/queues/content/pause")).status_code == 200
            await stack["content"].says("queue_paused", within=15)
            await stack.start("content:late")
            created = (await alice.post("/v1/roadmaps", json={"goal": "Learn to wait", "size": "small"})).json()
            # A worker that is stopped hands back what it holds: neither held anything.
            assert await stack.terminate("content:late") == 0
            assert stack.everyone[-1].lines("jobs_handed_back") == []
            run = (await alice.get(f"/v1/runs/{created['run']['id']}")).json()
            assert (run["status"], run["started_at"]) == ("queued", None)
            content = (await operator.get("/v1/admin/queues")).json()["data"][0]
            assert (content["depth"], content["running"], content["open_work"]) == (1, 0, 1)
            assert "it is paused" in content["reasons"]
            assert (await operator.post("/v1/admin/queues/content/resume")).status_code == 200
            assert (await finish(alice, created["id"]))["status"] == "succeeded"
