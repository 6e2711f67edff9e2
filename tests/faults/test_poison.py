"""What does not belong into a queue is told and removed, and nothing of it is executed; the others are served."""

import pickle
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from history import History
from waiting import eventually
from whole import Whole, check_queues, check_run, open_whole

from roadmap.ids import new_id
from roadmap.queue.model import dump_job

DEAD_JOBS = "SELECT queue, job_id, code FROM dead_jobs"


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self._path), "w")


@dataclass(frozen=True, slots=True)
class Poison:
    """An entry of the queue, and why it is dead. No payload: the entry alone."""

    job_id: str | bytes
    payload: bytes | None
    reason: str

    @property
    def shown(self) -> str:
        return self.job_id if isinstance(self.job_id, str) else self.job_id.decode(errors="backslashreplace")


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url) as opened:
        yield opened


@pytest.mark.fault("F22")
@pytest.mark.parametrize("queue", ["content", "logs"])
async def test_what_no_job_of_ours_is_becomes_a_dead_job_and_is_never_executed(
    whole: Whole, history: History, queue: str, tmp_path: Path
) -> None:
    mark = tmp_path / "executed"
    poisons = [*_pickles(mark), *_garbage(), *_strangers(queue)]
    for poison in poisons:
        await _plant(whole, queue, poison)
    await whole.stack.start("content", "logs")
    roadmap_id = await whole.create(size="small")
    assert (await whole.finish(roadmap_id))["status"] == "succeeded"
    await check_run(whole.db, roadmap_id)
    await history.check()
    told = {(line["job_id"], line["reason"]) for line in whole.stack[queue].lines("job_dead")}
    buried = {(row["queue"], row["job_id"], row["code"]) for row in await whole.db.fetch(DEAD_JOBS)}
    assert told == {(poison.shown, poison.reason) for poison in poisons}
    assert buried == {(queue, poison.shown, poison.reason) for poison in poisons}
    assert not mark.exists()


@pytest.mark.fault("F22")
async def test_a_log_batch_that_nobody_can_read_becomes_a_dead_letter(whole: Whole) -> None:
    await _plant(whole, "logs", Poison("log:unreadable", _job("write_log_batch", "zAAAA"), ""))
    await whole.stack.start("logs")

    async def kept() -> Any:
        return await whole.db.fetchval("SELECT raw FROM log_dead_letters")

    assert await eventually(kept, "it is kept as it came") == b"zAAAA"
    await check_queues(whole.redis)


def _pickles(mark: Path) -> list[Poison]:
    """In arq's own default format, which ours is not: reading them would execute them."""
    bomb = Bomb(mark)
    pickle.loads(pickle.dumps(bomb)).close()
    assert mark.exists()
    mark.unlink()
    job = {"t": None, "f": "draft", "a": (bomb,), "k": {}, "et": 1}
    return [
        Poison("pickle", pickle.dumps(bomb), "undecodable"),
        Poison("pickled-job", pickle.dumps(job), "undecodable"),
        Poison("old-pickled-job", pickle.dumps(job, protocol=0), "undecodable"),
    ]


def _garbage() -> list[Poison]:
    return [
        Poison("bytes", b"\xff\x00{", "undecodable"),
        Poison("empty", b"", "expired"),
        Poison("list", b"[]", "undecodable"),
        Poison("fields-of-another-version", orjson.dumps({"function": "draft", "args": []}), "undecodable"),
        Poison("without-a-payload", None, "expired"),
        Poison(b"no text \xff\xfe", b"[]", "undecodable"),
    ]


def _strangers(queue: str) -> list[Poison]:
    run = new_id().hex
    misfits = {
        "content": [
            Poison("old-draft", _job("draft", run, "v0"), "arguments"),
            Poison("old-concept", _job("write_concept", run), "arguments"),
            Poison("no-run", _job("draft", "no id at all"), "internal"),
        ],
        "logs": [Poison("old-batch", _job("write_log_batch", "[]", "v0"), "arguments")],
    }
    return [
        Poison("unknown", _job("no_such_function", run), "unknown_function"),
        Poison("dotted", _job("os.system", "true"), "unknown_function"),
        *misfits[queue],
    ]


def _job(function: str, *args: str) -> bytes:
    return dump_job({"t": None, "f": function, "a": list(args), "k": {}, "et": 1})


async def _plant(whole: Whole, queue: str, poison: Poison) -> None:
    name = poison.job_id.encode() if isinstance(poison.job_id, str) else poison.job_id
    if poison.payload is not None:
        await whole.redis.set(b"arq:job:" + name, poison.payload)
    await whole.redis.zadd(queue, {name: 1})
