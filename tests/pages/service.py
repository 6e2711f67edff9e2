"""A service whose every text is hostile, and those who look at it: an operator and a viewer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx
from inside import Api, in_process, open_api
from operators import OLGA, VERA, add_account, sign_in

from roadmap.accounts.model import Role
from roadmap.accounts.store import ensure_user
from roadmap.content import store as content
from roadmap.database import Database
from roadmap.dead_jobs.model import Death
from roadmap.dead_jobs.store import Work, bury_job, bury_work
from roadmap.execution_log.model import Category
from roadmap.execution_log.store import add_entry
from roadmap.ids import Prefix, new_id, show_id
from roadmap.llm.ledger import RunLedger, settle
from roadmap.llm.model import CallStatus, PlannedCall, Spent
from roadmap.roadmaps import store as roadmaps
from roadmap.roadmaps.model import Concept, Kind, Module, Size, Stage, Structure, Wishes
from roadmap.runs import store as runs
from roadmap.runs.service import insert_roadmap

__all__ = ["EVIL", "FINGERPRINT", "Service", "add_dead_job", "open_service"]

# What would be a script, if anything of it came through.
EVIL = """"'><script src=//evil.example></script><img src=x onerror=alert(1)>{{7*7}}"""
FINGERPRINT = "00112233aabbccdd"
LEASE = 30.0
HOST = "content-evil<b>"


@dataclass(frozen=True, slots=True)
class Service:
    """One roadmap is being written: a piece of it has failed, the model was asked well and in vain."""

    api: Api
    olga: httpx.AsyncClient
    vera: httpx.AsyncClient
    run: UUID
    roadmap: UUID
    dead_job: UUID

    def ids(self) -> dict[str, str]:
        """A value for each parameter of a view's path."""
        return {
            "queue": "content",
            "run_id": show_id(Prefix.RUN, self.run),
            "roadmap_id": show_id(Prefix.ROADMAP, self.roadmap),
            "fingerprint": FINGERPRINT,
            "dead_job_id": show_id(Prefix.DEAD_JOB, self.dead_job),
        }


@asynccontextmanager
async def open_service(database_url: str, redis_url: str) -> AsyncIterator[Service]:
    async with open_api(database_url, redis_url) as api:
        await add_account(api.db, OLGA, Role.OPERATOR)
        await add_account(api.db, VERA, Role.VIEWER)
        run, roadmap = await _write(api.db)
        dead_job = await api.db.fetchval("SELECT id FROM dead_jobs WHERE fingerprint = $1", FINGERPRINT)
        async with in_process(api.state) as olga, in_process(api.state) as vera:
            for client, email in ((olga, OLGA), (vera, VERA)):
                assert (await sign_in(client, email)).status_code == 303
            yield Service(api, olga, vera, run, roadmap, dead_job)


async def add_dead_job(db: Database, job_id: str, message: str = EVIL, fingerprint: str = "f" * 16) -> None:
    """A job on a queue that was given up just now."""
    work = Work("content", "unheard_of", {"args": [EVIL]}, 3, job_id=job_id)
    await bury_job(db, work, Death("unknown_function", EVIL, message, f"Traceback: {EVIL}", fingerprint))


async def _write(db: Database) -> tuple[UUID, UUID]:
    user_id = await ensure_user(db, new_id(), f"{EVIL}@example.org".replace(" ", ""))
    started = await insert_roadmap(db, user_id, Wishes(f"Learn {EVIL}", size=Size.SMALL))
    concepts = (new_id(), new_id())
    async with db.transaction() as tx:
        claim = await runs.claim_draft(tx, started.run_id, HOST, LEASE, 99)
        assert claim is not None
        await tx.execute("INSERT INTO run_steps VALUES ($1, 'intent', '{}', 120)", started.run_id)
        await content.create_pieces(tx, started.roadmap_id, started.run_id, concepts, tuple(Kind))
        await roadmaps.add_version(tx, started.roadmap_id, _plan(concepts), {"level": "beginner"})
        await runs.start_writing(tx, claim)
        await add_entry(tx, started.run_id, Category.RUN, f"noted {EVIL}", {EVIL: EVIL})
    pieces = await content.claim_pieces(db, started.run_id, concepts[0], HOST, LEASE, 99)
    await _ask(db, pieces[0])
    await _fail(db, pieces[-1])
    return started.run_id, started.roadmap_id


def _plan(concept_ids: tuple[UUID, ...]) -> Structure:
    concepts = tuple(
        Concept(show_id(Prefix.CONCEPT, one), f"c{place}", f"Joins {place} {EVIL}", "Tables.", 60, (), ("Join",))
        for place, one in enumerate(concept_ids)
    )
    return Structure(f"SQL {EVIL}", EVIL, (Stage("stg_1", EVIL, (Module("mod_1", EVIL, concepts),)),))


async def _ask(db: Database, piece: content.Piece) -> None:
    ledger = RunLedger(db, piece.run_id, piece.claim, piece.concept_id, piece.kind.value)
    asked = ((CallStatus.UNUSABLE, f"malformed {EVIL}"), (CallStatus.OUTAGE, "provider_busy"), (CallStatus.OK, None))
    for number, (outcome, error) in enumerate(asked):
        call = await ledger.reserve(PlannedCall("tutorial", EVIL, f"small {EVIL}", "0" * 64, number))
        await settle(db, [Spent(call, 100, 50, 2_000, 900 + number, "stop", outcome, error)])


async def _fail(db: Database, piece: content.Piece) -> None:
    work = Work("content", "write_concept", {"args": [EVIL]}, 3, piece.run_id, piece.concept_id, piece.kind)
    async with db.transaction() as tx:
        await content.fail_piece(tx, piece, "model_malformed", f"no {EVIL}")
        await bury_work(tx, work, Death("model_malformed", "Unusable", f"no {EVIL}", f"Traceback: {EVIL}", FINGERPRINT))
