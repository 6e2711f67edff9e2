"""The model has answered, and the connection dies: each question is asked at most once more, and nothing is doubled."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from history import History
from model_server import Behaviour, Call
from waiting import eventually
from whole import LEDGER, Whole, check_run, offline, open_whole, rows

from roadmap.llm.offline.answers import answer
from roadmap.llm.offline.protocol import read_question, write_completion, write_reply

# What is said of the answer before the connection is reset.
SAID = {"nothing": 0.0, "half": 0.5, "all but the end": 0.99}
# A close with this option is a reset, and no orderly end.
AT_ONCE = struct.pack("ii", 1, 0)


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url) as opened:
        yield opened


@pytest.mark.fault("F20")
@pytest.mark.parametrize(
    "said", ["half", *(pytest.param(said, marks=pytest.mark.slow) for said in ("nothing", "all but the end"))]
)
async def test_an_answer_that_is_lost_after_it_was_made_costs_one_call_more(
    whole: Whole, history: History, said: str
) -> None:
    """So for every question of the run."""
    asked: set[str] = set()

    def choose(call: Call) -> Behaviour:
        first = call.prompt not in asked
        asked.add(call.prompt)
        return _lose(SAID[said]) if first else offline()(call)

    whole.model.default = choose
    await whole.stack.start("content", "logs")
    roadmap_id = await whole.create(size="small", kinds=["tutorial", "resources"])
    await _finish_without_pauses(whole, roadmap_id)
    pieces = await check_run(whole.db, roadmap_id)
    assert set(Counter(call.prompt for call in whole.model.calls).values()) == {2}
    statuses = Counter(row["status"] for row in await rows(whole.db, LEDGER, roadmap_id))
    assert statuses == {"ok": len(asked), "outage": len(asked)}
    assert {(piece["failures"], piece["crashes"]) for piece in pieces} == {(0, 0)}
    await history.check()


async def _finish_without_pauses(whole: Whole, roadmap_id: str) -> None:
    async def look() -> bool:
        await whole.pass_time()
        ended: bool = (await whole.api.get(f"/v1/roadmaps/{roadmap_id}")).json()["run"]["finished_at"] is not None
        return ended

    await eventually(look, "the run ends", within=40)


def _lose(share: float) -> Behaviour:
    """Makes the answer, says this share of it and resets the connection."""

    async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
        question = read_question(orjson.dumps(call.body))
        body = write_completion(write_reply(question, answer(question.asked)))
        head = f"HTTP/1.1 200 Played\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        whole = head + body
        if share:
            writer.write(whole[: int(len(whole) * share)])
            await writer.drain()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        writer.transport.abort()

    return behave
