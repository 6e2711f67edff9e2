"""A whole stack for one test: worker processes, the API, a provider that the test plays, and what must hold afterwards.

async with open_whole(tmp_path, database_url, redis_url, CONTENT_CONCURRENCY="5") as whole:
    whole.model.default = offline(latency=0.2)
    await whole.stack.start("content", "logs")
    roadmap_id = await whole.create("Learn SQL")
    await whole.ready(10)
    await whole.stack.kill("content")
    ...
    await whole.finish(roadmap_id)
    await check_run(whole.db, roadmap_id)
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import orjson
from inside import in_process
from model_server import Behaviour, Call, ModelServer, model_server, status
from pydantic import SecretStr
from redis.asyncio import Redis
from stack import Stack, finish, open_stack
from waiting import eventually

from roadmap.database import Database
from roadmap.ids import Prefix, parse_id
from roadmap.llm.offline.answers import answer
from roadmap.llm.offline.protocol import read_question, write_completion, write_reply
from roadmap.probes.readiness import Readiness
from roadmap.runtime import Process, open_runtime
from roadmap.settings import AuthMode, Settings
from roadmap.web.state import open_web

__all__ = [
    "MALFORMED",
    "Counted",
    "Whole",
    "asked",
    "check_ledger",
    "check_log",
    "check_queues",
    "check_run",
    "offline",
    "open_whole",
    "rows",
    "subject",
]

LEASE = 2.0
MALFORMED = status(
    200, {}, b'{"choices": [{"message": {"role": "assistant", "content": "no"}, "finish_reason": "stop"}]}'
)


@dataclass(frozen=True, slots=True)
class Whole:
    """`api` is the application inside this process, as the machine's only user. `accepted`: the roadmaps that were."""

    stack: Stack
    model: ModelServer
    api: httpx.AsyncClient
    db: Database
    redis: Redis
    database_url: str
    accepted: list[str] = field(default_factory=list)

    async def create(self, goal: str = "Learn SQL in six weeks, 5 hours a week", **wishes: Any) -> str:
        """The roadmap's id at the API."""
        response = await self.api.post("/v1/roadmaps", json={"goal": goal, **wishes})
        assert response.status_code == 202, response.text
        self.accepted.append(str(response.json()["id"]))
        return self.accepted[-1]

    async def finish(self, roadmap_id: str, *, within: float = 60.0) -> dict[str, Any]:
        return await finish(self.api, roadmap_id, within=within)

    async def ready(self, count: int, *, within: float = 60.0) -> None:
        """Waits until so many pieces are ready, of all roadmaps."""

        async def look() -> bool:
            found: int = await self.db.fetchval("SELECT count(*) FROM content WHERE status = 'ready'")
            return found >= count

        await eventually(look, f"{count} pieces are ready", within=within)

    async def pass_time(self) -> None:
        """The pauses are over that open work makes between its tries, and before the sweeper looks after it."""
        for table in ("runs", "content"):
            # What is locked has its turn another time: to wait here could be a deadlock.
            await self.db.execute(f"""
                UPDATE {table} SET due_at = now(), not_before = NULL FROM (
                    SELECT ctid AS place FROM {table} WHERE due_at > now() AND claimed_by IS NULL
                    FOR NO KEY UPDATE SKIP LOCKED
                ) AS waiting WHERE {table}.ctid = waiting.place
            """)

    @asynccontextmanager
    async def no_writes_in_redis(self) -> AsyncIterator[None]:
        """Redis answers who reads, and lets who writes wait: nothing is enqueued, finished or told meanwhile."""
        await self.redis.client_pause(60_000, all=False)
        try:
            yield
        finally:
            await self.redis.client_unpause()

    async def calls(self, count: int, *, within: float = 40.0) -> None:
        """Waits until the provider was called so often."""
        await eventually(lambda: len(self.model.calls) >= count, f"{count} calls", within=within)


@asynccontextmanager
async def open_whole(folder: Path, database_url: str, redis_url: str, **environment: str) -> AsyncIterator[Whole]:
    """No worker runs yet. `environment` is that of the workers."""
    settings = Settings(
        database_url=SecretStr(database_url), redis_url=SecretStr(redis_url), auth_mode=AuthMode.NONE, lease=LEASE
    )
    async with model_server() as model:
        model.default = offline()
        # With each line of diagnostics: history.py compares what was noted with what is stored.
        told = {"LOG_LEVEL": "debug", "LLM_BASE_URL": model.url, "LLM_API_KEY": "a-key", "VERIFY_LINKS": "off"}
        # Tests freeze processes, and a busy machine may keep one frozen for longer than the default.
        ours = {"LEASE": str(LEASE), "WATCHDOG": "120", **told, **environment}
        async with (
            open_stack(folder, database_url, redis_url, **ours) as stack,
            open_runtime(settings, Process.WEB) as runtime,
            open_web(runtime, Readiness(runtime.db, runtime.queue)) as state,
            in_process(state) as api,
            Redis.from_url(redis_url) as redis,
        ):
            yield Whole(stack, model, api, state.runtime.db, redis, database_url)


def offline(latency: float = 0.0) -> Callable[[Call], Behaviour]:
    """Answers as the built-in provider does, `latency` seconds late."""
    return lambda _: _answer_late(latency)


def _answer_late(latency: float) -> Behaviour:
    async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(latency)
        question = read_question(orjson.dumps(call.body))
        body = write_completion(write_reply(question, answer(question.asked)))
        await status(200, {}, body)(call, writer)

    return behave


class Counted:
    """The offline model, `latency` seconds late, which counts the calls that it answers at once: `most` of them."""

    def __init__(self, latency: float) -> None:
        self.now = self.most = 0
        self._latency = latency

    def __call__(self, _: Call) -> Behaviour:
        return self._behave

    async def _behave(self, call: Call, writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await _answer_late(self._latency)(call, writer)
        finally:
            self.now -= 1


def asked(call: Call) -> dict[str, Any]:
    """What the prompt's input says."""
    return dict(read_question(orjson.dumps(call.body)).asked)


def subject(call: Call) -> str:
    """The key of the concept that a call is about; empty for a draft's."""
    return str(asked(call).get("concept", {}).get("key", ""))


async def rows(db: Database, query: str, roadmap_id: str) -> list[dict[str, Any]]:
    """`$1` is the roadmap."""
    return [dict(row) for row in await db.fetch(query, parse_id(Prefix.ROADMAP, roadmap_id))]


EVENTS = "SELECT seq, type, payload FROM events WHERE roadmap_id = $1 ORDER BY seq"
PIECES = "SELECT * FROM content WHERE roadmap_id = $1"
BODIES = "SELECT concept_id, kind, version FROM content_versions WHERE roadmap_id = $1"
LOG = """
SELECT concept_id, message FROM execution_log JOIN runs ON runs.id = run_id
WHERE roadmap_id = $1 AND category = 'content' AND message LIKE '% ready'
"""
LEDGER = "SELECT model_calls.status FROM model_calls JOIN runs ON runs.id = run_id WHERE roadmap_id = $1"


async def check_run(db: Database, roadmap_id: str, end: str = "run.succeeded") -> list[dict[str, Any]]:
    """The invariants of a finished run: one state, one body and one event per ready piece, no gap, nothing claimed."""
    pieces = await rows(db, PIECES, roadmap_id)
    bodies = {(row["concept_id"], row["kind"]): row["version"] for row in await rows(db, BODIES, roadmap_id)}
    ready = {(piece["concept_id"], piece["kind"]) for piece in pieces if piece["status"] == "ready"}
    events = await rows(db, EVENTS, roadmap_id)
    told = [
        (parse_id(Prefix.CONCEPT, event["payload"]["concept_id"]), event["payload"]["kind"])
        for event in events
        if event["type"] == "content.ready"
    ]
    assert bodies == dict.fromkeys(ready, 1)
    assert all(piece["version"] == (piece["status"] == "ready") for piece in pieces)
    assert sorted(told) == sorted(ready)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == end
    assert [piece for piece in pieces if piece["claimed_by"] or piece["due_at"] or piece["status"] == "writing"] == []
    if end == "run.succeeded":
        assert len(ready) == len(pieces)
    return pieces


async def check_log(db: Database, roadmap_id: str, *, within: float = 30.0) -> None:
    """Soon every ready piece has its entry in the execution log, once."""
    ready = sorted(
        (piece["concept_id"], f"{piece['kind']} ready")
        for piece in await rows(db, PIECES, roadmap_id)
        if piece["status"] == "ready"
    )

    async def entries() -> list[tuple[UUID, str]]:
        return sorted((row["concept_id"], row["message"]) for row in await rows(db, LOG, roadmap_id))

    async def complete() -> bool:
        return len(await entries()) >= len(ready)

    await eventually(complete, "the log is complete", within=within)
    assert await entries() == ready


async def check_ledger(whole: Whole, roadmap_id: str) -> None:
    """The ledger knows every call that the provider counted, and all of them are settled."""
    statuses = [row["status"] for row in await rows(whole.db, LEDGER, roadmap_id)]
    assert len(statuses) == len(whole.model.calls)
    assert "open" not in statuses


async def check_queues(redis: Redis, *, within: float = 30.0) -> None:
    """Soon the queues are empty, and of arq's keys none is left."""

    async def drained() -> bool:
        left = [key async for key in redis.scan_iter("arq:*") if not key.startswith(b"arq:wake:")]
        return not left and not await redis.exists("content", "logs")

    await eventually(drained, "the queues are empty", within=within)
