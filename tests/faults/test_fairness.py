"""A learner with many roadmaps does not starve the next one."""

import asyncio
from pathlib import Path

from stack import api_client, finish
from whole import check_run, offline, open_whole

from roadmap.accounts.keys import create_key
from roadmap.ids import Prefix, parse_id

# Runs that ended after that of this roadmap.
LATER = """
SELECT count(*) FROM runs, runs AS light WHERE light.roadmap_id = $1 AND runs.finished_at > light.finished_at
"""


async def test_the_learner_with_one_roadmap_is_done_before_the_one_with_ten(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    async with open_whole(tmp_path, database_url, redis_url, CONTENT_CONCURRENCY="10") as whole:
        whole.model.default = offline(0.15)
        many = await create_key(whole.db, "many@example.org", "tests", None)
        one = await create_key(whole.db, "one@example.org", "tests", None)
        await whole.stack.start("web", "content")
        async with (
            api_client(whole.stack.web_url, many.secret) as heavy,
            api_client(whole.stack.web_url, one.secret) as light,
        ):
            wish = {"goal": "Learn SQL", "size": "small"}
            first = [(await heavy.post("/v1/roadmaps", json=wish)).json()["id"] for _ in range(10)]
            await whole.ready(5)
            last = (await light.post("/v1/roadmaps", json=wish)).json()["id"]
            await finish(light, last)
            await asyncio.gather(*(finish(heavy, roadmap_id) for roadmap_id in first))
        for roadmap_id in [*first, last]:
            await check_run(whole.db, roadmap_id)
        assert await whole.db.fetchval(LATER, parse_id(Prefix.ROADMAP, last)) >= 5
