"""A service with a little of everything in its rows, and an operator who looks at it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from inside import Api, in_process, open_api
from redis.asyncio import Redis

from roadmap.accounts.keys import create_key
from roadmap.accounts.store import ensure_user
from roadmap.content import store as content
from roadmap.database import Database
from roadmap.dead_jobs.model import Death
from roadmap.dead_jobs.store import Work, bury_work
from roadmap.execution_log.model import Category
from roadmap.execution_log.store import add_entry
from roadmap.ids import Prefix, new_id, show_id
from roadmap.llm.ledger import RunLedger, settle
from roadmap.llm.model import CallStatus, PlannedCall, Spent
from roadmap.roadmaps import store as roadmaps
from roadmap.roadmaps.model import Concept, Kind, Module, Size, Stage, Structure, Wishes
from roadmap.runs import store as runs
from roadmap.runs.service import insert_roadmap

__all__ = ["FINGERPRINT", "Watched", "open_watched", "write_minute"]

LEASE = 30.0
FINGERPRINT = "00112233aabbccdd"
OLGA = "olga@example.org"


@dataclass(frozen=True, slots=True)
class Watched:
    """Ada's roadmap is being written: of its two concepts the first is held by `content-7`, whose resources have
    failed; the second waits. Her run asked the model three times: well, in vain, and refused with a 429."""

    api: Api
    redis: Redis
    operator: httpx.AsyncClient
    run: UUID
    roadmap: UUID
    concepts: tuple[UUID, UUID]

    @property
    def run_id(self) -> str:
        return show_id(Prefix.RUN, self.run)

    @property
    def roadmap_id(self) -> str:
        return show_id(Prefix.ROADMAP, self.roadmap)

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.operator.get(f"/v1/admin{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, status: int = 200) -> Any:
        answer = await self.operator.post(f"/v1/admin{path}")
        assert answer.status_code == status, answer.text
        return answer.json()


@asynccontextmanager
async def open_watched(database_url: str, redis_url: str) -> AsyncIterator[Watched]:
    async with open_api(database_url, redis_url) as api, Redis.from_url(redis_url) as redis:
        secret = (await create_key(api.db, OLGA, "tests", None, operator=True)).secret
        run_id, roadmap_id, concepts = await _write(api.db)
        await write_minute(api.db, "write_concept", offered=30, succeeded=15, failed=5)
        async with in_process(api.state, secret) as operator:
            yield Watched(api, redis, operator, run_id, roadmap_id, concepts)


async def _write(db: Database) -> tuple[UUID, UUID, tuple[UUID, UUID]]:
    user_id = await ensure_user(db, new_id(), "Ada@example.org")
    started = await insert_roadmap(db, user_id, Wishes("Learn SQL", size=Size.SMALL))
    concepts = (new_id(), new_id())
    run_id = started.run_id
    async with db.transaction() as tx:
        claim = await runs.claim_draft(tx, run_id, "content-7", LEASE, 99)
        assert claim is not None
        await tx.execute("INSERT INTO run_steps VALUES ($1, 'intent', '{}', 120), ($1, 'outline', '{}', 340)", run_id)
        await content.create_pieces(tx, started.roadmap_id, run_id, concepts, tuple(Kind))
        await roadmaps.add_version(tx, started.roadmap_id, _plan(concepts), {"level": "beginner"})
        await runs.start_writing(tx, claim)
        await add_entry(tx, run_id, Category.RUN, "the plan is ready", {"concepts": 2})
    pieces = await content.claim_pieces(db, run_id, concepts[0], "content-7", LEASE, 99)
    await _ask(db, pieces[0])
    await _fail(db, next(piece for piece in pieces if piece.kind is Kind.RESOURCES))
    return run_id, started.roadmap_id, concepts


def _plan(concept_ids: tuple[UUID, ...]) -> Structure:
    concepts = tuple(
        Concept(show_id(Prefix.CONCEPT, one), f"c{place}", f"Joins {place}", "Tables.", 60, (), ("Join",))
        for place, one in enumerate(concept_ids)
    )
    return Structure("SQL", "S", (Stage("stg_1", "Basics", (Module("mod_1", "Tables", concepts),)),))


async def _ask(db: Database, piece: content.Piece) -> None:
    ledger = RunLedger(db, piece.run_id, piece.claim, piece.concept_id, piece.kind.value)
    for number, (outcome, error) in enumerate(
        ((CallStatus.UNUSABLE, "model_malformed"), (CallStatus.OUTAGE, "provider_busy"), (CallStatus.OK, None))
    ):
        call = await ledger.reserve(PlannedCall("tutorial", "model.example", "small", "0" * 64, number))
        await settle(db, [Spent(call, 100, 50, 2_000, 900 + number, "stop", outcome, error)])


async def _fail(db: Database, piece: content.Piece) -> None:
    work = Work("content", "write_concept", {"args": [piece.run_id.hex]}, 3, piece.run_id, piece.concept_id, piece.kind)
    async with db.transaction() as tx:
        await content.fail_piece(tx, piece, "model_malformed", "no <JSON>")
        death = Death("model_malformed", "Unusable", "no <JSON>", "Traceback: here", FINGERPRINT)
        await bury_work(tx, work, death)


MINUTE = """
INSERT INTO function_minutes (function, minute, offered, succeeded, failed, returned, wait_ms, duration_ms, waits,
                              durations)
VALUES ($1, $2, $3, $4, $5, 5, 1000, 2000, '{0,0,0,10,10}', '{0,0,0,0,0,0,0,0,0,0,20}')
"""


async def write_minute(db: Database, function: str, offered: int, succeeded: int, failed: int) -> None:
    """As if all this had happened in the minute before this one."""
    minute = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    await db.execute(MINUTE, function, minute, offered, succeeded, failed)
