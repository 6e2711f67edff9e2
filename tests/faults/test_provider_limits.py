"""A provider's limits hold for all content processes together, also when one of them dies."""

from pathlib import Path

import pytest
from whole import Counted, check_run, open_whole


@pytest.mark.slow
async def test_two_content_processes_keep_to_the_limit_together_also_when_one_is_killed(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    limits = {"LLM_CONCURRENCY": "3", "REPLICAS_CONTENT": "2"}
    async with open_whole(tmp_path, database_url, redis_url, **limits) as whole:
        whole.model.default = counted = Counted(0.1)
        await whole.stack.start("content", "content:second")
        roadmaps = [await whole.create(size="small") for _ in range(4)]
        await whole.ready(20)
        await whole.stack.kill("content:second")
        for roadmap_id in roadmaps:
            await whole.finish(roadmap_id, within=100)
            await check_run(whole.db, roadmap_id)
    assert counted.most == 3
