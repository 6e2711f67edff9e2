"""A provider's limits hold for all content processes together, also when one of them dies."""

import asyncio
from pathlib import Path

import pytest
from model_server import Behaviour, Call
from whole import check_run, offline, open_whole


class Counted:
    """The offline model, late, which counts the calls that it answers at once."""

    def __init__(self, latency: float) -> None:
        self.now = self.most = 0
        self._latency = latency

    def __call__(self, asked: Call) -> Behaviour:
        answer = offline(self._latency)(asked)

        async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                await answer(call, writer)
            finally:
                self.now -= 1

        return behave


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
