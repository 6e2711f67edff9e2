"""Dead jobs in PostgreSQL: one for each fault, listed, grouped, dealt with once, forgotten."""

import asyncio
from uuid import UUID

import orjson
import pytest

from roadmap.accounts.store import ensure_user
from roadmap.database import Database
from roadmap.dead_jobs import store
from roadmap.dead_jobs.model import DeadJob, DeadJobStatus, Death, Selection
from roadmap.dead_jobs.service import bury_unexecuted
from roadmap.dead_jobs.store import Filters, Work
from roadmap.ids import new_id
from roadmap.queue.model import Job, Unexecuted
from roadmap.roadmaps.model import Wishes
from roadmap.runs.service import insert_roadmap

DEATH = Death("model_refused", "Unusable", "the model refused", None, "0" * 16)


@pytest.fixture
async def run_id(database: Database) -> UUID:
    user_id = await ensure_user(database, new_id(), "alice@example.org")
    return (await insert_roadmap(database, user_id, Wishes("Learn SQL"))).run_id


def of_piece(run_id: UUID, kind: str = "quiz", concept_id: UUID | None = None) -> Work:
    return Work("content", "write_concept", {"args": []}, 2, run_id, concept_id or new_id(), kind)


async def everything(db: Database) -> list[DeadJob]:
    return await store.list_dead_jobs(db, Filters(), None, 1_000)


def unexecuted(job: Job, reason: str = "unknown_function") -> Unexecuted:
    return Unexecuted(job.id, job.function, reason, job.payload(1))


async def test_a_piece_that_fails_twice_in_one_run_has_one_dead_job_with_the_latest_fault(
    database: Database, run_id: UUID
) -> None:
    concept_id = new_id()
    for message in ("first", "second"):
        death = Death("model_refused", "Unusable", message, None, "0" * 16)
        await store.bury_work(database, of_piece(run_id, "quiz", concept_id), death)
        await store.bury_work(database, Work("content", "draft", None, 2, run_id), death)
    await store.bury_work(database, of_piece(run_id, "tutorial", concept_id), DEATH)
    assert sorted((dead.kind or "", dead.message) for dead in await everything(database)) == [
        ("", "second"),
        ("quiz", "second"),
        ("tutorial", "the model refused"),
    ]


async def test_a_job_that_dies_again_under_its_id_is_counted(database: Database) -> None:
    for _ in range(3):
        await bury_unexecuted(database, "content", unexecuted(Job("unheard_of", "j1", ("a",))))
    await bury_unexecuted(database, "logs", unexecuted(Job("unheard_of", "j1", ("a",))))
    found = await everything(database)
    assert sorted((dead.queue, dead.job_id, dead.attempts) for dead in found) == [
        ("content", "j1", 3),
        ("logs", "j1", 1),
    ]


async def test_jobs_of_one_run_are_dead_each_for_itself_and_know_the_run_only_when_there_is_one(
    database: Database, run_id: UUID
) -> None:
    for number in range(3):
        job = Job("write_concept", f"w{number}", (run_id.hex, new_id().hex))
        await bury_unexecuted(database, "content", unexecuted(job, "expired"))
    await bury_unexecuted(database, "content", unexecuted(Job("draft", "d", (new_id().hex,))))
    found = await everything(database)
    assert {dead.job_id: dead.run_id for dead in found} == {"w0": run_id, "w1": run_id, "w2": run_id, "d": None}
    assert {dead.roadmap_id is None for dead in found if dead.run_id} == {False}


@pytest.mark.parametrize(
    ("raw", "payload"),
    [
        (Job("f", "j", ("a", 1)).payload(1), {"args": ["a", 1]}),
        (orjson.dumps({"t": None, "f": "f", "a": [], "k": {"x": 1}, "et": 1}), {"args": [], "kwargs": {"x": 1}}),
        (Job("f", "j", ("a\x00b",)).payload(1), None),
        (b"\x80\x04\x8c\x08builtins", None),
        (b"", None),
        (b'{"f": "f", "a": ["' + b"x" * 65_000, None),
    ],
    ids=["by place", "by name", "a null", "pickle", "gone", "cut"],
)
async def test_a_job_is_kept_with_its_arguments_or_as_it_came(
    database: Database, raw: bytes, payload: dict[str, object] | None
) -> None:
    await bury_unexecuted(database, "content", Unexecuted("j\x00\ud800", "f\x00" * 200, "undecodable", raw))
    dead = await store.find_dead_job(database, (await everything(database))[0].id)
    assert dead is not None
    assert (dead.payload, dead.raw) == (payload, raw if payload is None else None)
    assert dead.code == "undecodable"


async def test_lists_are_filtered_and_paged(database: Database, run_id: UUID) -> None:
    for number in range(5):
        await bury_unexecuted(database, "content", unexecuted(Job("unheard_of", f"j{number}")))
    await store.bury_work(database, of_piece(run_id), DEATH)
    first = await store.list_dead_jobs(database, Filters(function="unheard_of"), None, 2)
    rest = await store.list_dead_jobs(database, Filters(function="unheard_of"), first[-1].id, 9)
    assert sorted(dead.job_id or "" for dead in (*first, *rest)) == ["j0", "j1", "j2", "j3", "j4"]
    assert [dead.id for dead in (*first, *rest)] == sorted((dead.id for dead in (*first, *rest)), reverse=True)
    assert len(await store.list_dead_jobs(database, Filters(code="model_refused"), None, 9)) == 1
    assert len(await store.list_dead_jobs(database, Filters(fingerprint=DEATH.fingerprint), None, 9)) == 1
    assert await store.list_dead_jobs(database, Filters(DeadJobStatus.RETRIED), None, 9) == []


async def test_groups_count_what_is_dead_by_fault(database: Database, run_id: UUID) -> None:
    for number in range(3):
        await bury_unexecuted(database, "content", unexecuted(Job("unheard_of", f"j{number}")))
    for _ in range(5):
        await store.bury_work(database, of_piece(run_id), DEATH)
    resolved = [dead.id for dead in await everything(database) if dead.kind][:1]
    await store.resolve(database, resolved, DeadJobStatus.DISCARDED, "cli")
    groups = await store.list_groups(database, 10)
    assert [(group.function, group.kind, group.code, group.count) for group in groups] == [
        ("write_concept", "quiz", "model_refused", 4),
        ("unheard_of", None, "unknown_function", 3),
    ]
    assert await store.count_groups(database) == 2


async def test_of_two_who_deal_with_the_same_dead_jobs_each_is_done_by_one(database: Database) -> None:
    for number in range(20):
        await bury_unexecuted(database, "content", unexecuted(Job("unheard_of", f"j{number}")))
    ids = [dead.id for dead in await everything(database)]
    one, two = await asyncio.gather(
        store.resolve(database, ids, DeadJobStatus.RETRIED, "one"),
        store.resolve(database, ids[::-1], DeadJobStatus.DISCARDED, "two"),
    )
    assert (one | two, one & two) == (set(ids), set())
    found = {dead.id: (dead.status, dead.resolved_by) for dead in await everything(database)}
    assert {found[each] for each in one} <= {(DeadJobStatus.RETRIED, "one")}
    assert {found[each] for each in two} <= {(DeadJobStatus.DISCARDED, "two")}
    assert await store.open_page(database, Selection(), None, 10) == []


async def test_a_job_that_was_dealt_with_may_die_again(database: Database) -> None:
    for _ in range(2):
        await bury_unexecuted(database, "content", unexecuted(Job("unheard_of", "j1")))
        await store.resolve(database, [dead.id for dead in await everything(database)], DeadJobStatus.DISCARDED, "cli")
    assert [dead.attempts for dead in await everything(database)] == [1, 1]


async def test_what_was_dealt_with_long_ago_is_forgotten_and_what_is_dead_never(database: Database) -> None:
    for number in range(3):
        await bury_unexecuted(database, "content", unexecuted(Job("unheard_of", f"j{number}")))
    newest, middle, oldest = await everything(database)
    await store.resolve(database, [newest.id, middle.id], DeadJobStatus.DISCARDED, "cli")
    await database.execute("UPDATE dead_jobs SET died_at = now() - interval '90 days'")
    await database.execute("UPDATE dead_jobs SET resolved_at = now() - interval '31 days' WHERE id = $1", middle.id)
    await store.forget_resolved(database, store.DAYS_RESOLVED)
    assert [dead.id for dead in await everything(database)] == [newest.id, oldest.id]
