"""The checker itself: for each invariant something that breaks it, and the complaint."""

import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import orjson
import pytest
from history import FIGURES, History, Mark, watched
from inside import own_database, own_redis
from recording import Connection, Sample, Trouble, connect
from whole import Whole, offline, open_whole

from roadmap.embedded.servers import LocalServers
from roadmap.ids import Prefix, new_id, show_id

REDIS = 1020
A_PIECE = "SELECT roadmap_id, concept_id, kind FROM content ORDER BY 1, 2, 3 LIMIT 1"
OF_A_PIECE = f"(roadmap_id, concept_id, kind) = ({A_PIECE})"


pytestmark = pytest.mark.skipif("TEST_POOLER" in os.environ, reason="how the checker counts is the same with a pooler")


@dataclass(frozen=True)
class Finished:
    """A run in which a worker was killed, finished and found in order. What a test does to `db` is rolled back."""

    whole: Whole
    history: History
    db: Connection

    async def complaints(self, invariant: str) -> list[str]:
        _, complaints = await self.history.judge(self.db)
        return [complaint for complaint in complaints if complaint.startswith(f"{invariant}: ")]


@pytest.fixture(scope="module")
async def run(
    tmp_path_factory: pytest.TempPathFactory, servers: LocalServers, admin: asyncpg.Connection, template: str
) -> AsyncIterator[tuple[Whole, History]]:
    folder = tmp_path_factory.mktemp("history")
    async with (
        own_database(servers, admin, template, "history") as database_url,
        open_whole(folder, database_url, own_redis(servers, REDIS), CONTENT_CONCURRENCY="5") as whole,
        watched(whole) as history,
    ):
        whole.model.default = offline(0.1)
        await whole.stack.start("content", "logs")
        await whole.create("Learn SQL", size="small")
        await whole.ready(5)
        history.fault("kill -9 content")
        await whole.stack.kill("content")
        await whole.stack.start("content")
        await history.check()
        yield whole, history


@pytest.fixture
async def finished(run: tuple[Whole, History]) -> AsyncIterator[Finished]:
    whole, history = run
    db = await connect(history.recording.url)
    transaction = db.transaction()
    await transaction.start()
    yield Finished(whole, history, db)
    await transaction.rollback()
    await db.close()


async def test_a_run_in_order_has_figures_and_no_complaint(finished: Finished) -> None:
    figures, complaints = await finished.history.judge(finished.db)
    assert complaints == []
    assert (figures.faults, figures.roadmaps, figures.lost, figures.doubled) == (1, 1, 0, 0)
    assert figures.pieces > 10
    assert figures.entries > figures.pieces
    # A worker that is killed between the row and the call leaves a row.
    assert figures.calls >= len(finished.whole.model.calls) > figures.pieces
    assert 1 <= figures.connections <= 5 + 4 + 2


async def test_i1_sees_a_run_that_did_not_end_and_a_roadmap_that_is_not_there(finished: Finished) -> None:
    await finished.db.execute("UPDATE runs SET status = 'writing', finished_at = NULL")
    finished.whole.accepted.append(show_id(Prefix.ROADMAP, new_id()))
    assert len(await finished.complaints("I1")) == 2
    finished.whole.accepted.pop()


@pytest.mark.parametrize(
    "damage",
    [
        f"DELETE FROM content_versions WHERE {OF_A_PIECE}",
        f"""INSERT INTO content_versions (roadmap_id, concept_id, kind, version, run_id, body)
            SELECT roadmap_id, concept_id, kind, 2, run_id, body FROM content_versions WHERE {OF_A_PIECE}""",
        f"UPDATE content SET version = 0 WHERE {OF_A_PIECE} AND status = 'ready'",
        "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events WHERE type = 'content.ready')",
    ],
    ids=["no body", "a second body", "ready without a version", "an untold body"],
)
async def test_i2_sees_a_piece_that_does_not_fit_its_bodies(finished: Finished, damage: str) -> None:
    await finished.db.execute(damage)
    assert await finished.complaints("I2") != []


# Of the process that was not killed.
A_ROW = "(SELECT id FROM execution_log ORDER BY id DESC LIMIT 1)"
COPY = f"""
INSERT INTO execution_log SELECT (r).* FROM (
    SELECT jsonb_populate_record(e, jsonb_build_object($1::text, $2::text)) AS r FROM execution_log AS e
    WHERE id = {A_ROW}) AS changed
"""


async def test_i3_sees_an_entry_that_was_lost(finished: Finished) -> None:
    await finished.db.execute(f"DELETE FROM execution_log WHERE id = {A_ROW}")
    complaints = await finished.complaints("I3")
    assert len(complaints) == 1
    assert "lost" in complaints[0]


async def test_i3_sees_an_entry_that_was_stored_twice(finished: Finished) -> None:
    await finished.db.execute(COPY, "at", "2020-01-01T00:00:00Z")
    complaints = await finished.complaints("I3")
    assert len(complaints) == 1
    assert "twice" in complaints[0]


async def test_i3_sees_an_entry_that_nobody_noted(finished: Finished) -> None:
    await finished.db.execute(COPY, "id", str(new_id()))
    complaints = await finished.complaints("I3")
    assert len(complaints) == 1
    assert "more than noted" in complaints[0]


async def test_i3_excuses_what_a_killed_process_noted_last_and_nothing_before(finished: Finished) -> None:
    killed, _, survivor = finished.whole.stack.everyone
    signals = survivor.signals
    rows = await finished.db.fetch("SELECT id, extract(epoch FROM at)::float AS at FROM execution_log ORDER BY id DESC")
    last, before = rows[0], next(row for row in rows if row["at"] < rows[0]["at"] - 1)
    assert killed.exit_code == -signal.SIGKILL
    survivor.signals = [(last["at"] + 0.1, signal.SIGKILL)]
    await finished.db.execute("DELETE FROM execution_log WHERE id = $1", last["id"])
    assert await finished.complaints("I3") == []
    await finished.db.execute("DELETE FROM execution_log WHERE id = $1", before["id"])
    assert len(await finished.complaints("I3")) == 1
    survivor.signals = signals


@pytest.mark.parametrize(
    "damage",
    [
        f"UPDATE content SET status = 'pending' WHERE {OF_A_PIECE}",
        f"UPDATE content SET claim = claim - 1 WHERE {OF_A_PIECE}",
        f"UPDATE content SET version = version + 1 WHERE {OF_A_PIECE}",
        "UPDATE runs SET status = 'queued', finished_at = NULL",
        "UPDATE runs SET claim = 0",
        "DELETE FROM events WHERE seq = 3",
        "UPDATE roadmaps SET event_seq = event_seq + 1",
    ],
)
async def test_i4_sees_what_went_back_or_has_a_gap(finished: Finished, damage: str) -> None:
    await finished.db.execute(damage)
    assert len(await finished.complaints("I4")) == 1


async def test_i4_sees_a_change_that_nobody_wrote_down(finished: Finished) -> None:
    await finished.db.execute("ALTER TABLE content DISABLE TRIGGER watch")
    await finished.db.execute(f"UPDATE content SET crashes = 7 WHERE {OF_A_PIECE}")
    await finished.db.execute("ALTER TABLE content ENABLE TRIGGER watch")
    await finished.db.execute(f"UPDATE content SET crashes = 8 WHERE {OF_A_PIECE}")
    assert len(await finished.complaints("I4")) == 1


async def test_i4_lets_a_later_run_write_a_piece_anew(finished: Finished) -> None:
    run_id = new_id()
    await finished.db.execute(
        "INSERT INTO runs (id, roadmap_id, user_id, kind, status, finished_at, due_at)"
        " SELECT $1, roadmap_id, user_id, kind, 'canceled', now(), NULL FROM runs",
        run_id,
    )
    await finished.db.execute(f"UPDATE content SET run_id = $1, status = 'pending' WHERE {OF_A_PIECE}", run_id)
    assert await finished.complaints("I4") == []


LATE = """
UPDATE watched SET at = at + interval '1 minute' WHERE number = (
    SELECT min(number) FROM watched WHERE kind = 'content' AND after->>'status' = 'ready'
) RETURNING extract(epoch FROM at)::float
"""


async def test_i5_sees_work_that_nobody_looked_after(finished: Finished) -> None:
    end = await finished.db.fetchval(LATE)
    complaints = await finished.complaints("I5")
    assert len(complaints) == 1
    assert "nobody looked after" in complaints[0]
    finished.history.recording.troubles.append(Trouble("postgresql away", end - 50, end))
    assert await finished.complaints("I5") == []
    finished.history.recording.troubles.pop()


async def test_i5_sees_a_piece_that_is_claimed_in_the_end(finished: Finished) -> None:
    await finished.db.execute(f"UPDATE content SET claimed_by = 'a ghost' WHERE {OF_A_PIECE}")
    assert len(await finished.complaints("I5")) == 1


# After the fault of the run.
PAID_TWICE = """
INSERT INTO model_calls (
    id, run_id, concept_id, kind, claim, purpose, provider, model, prompt_hash, round, status, created_at
)
SELECT $1, run_id, concept_id, kind, claim, purpose, provider, model, prompt_hash, round, $3,
    clock_timestamp() + interval '1 second'
FROM model_calls WHERE purpose = $2 AND status = 'ok' ORDER BY created_at DESC LIMIT 1
"""


async def test_i6_sees_a_question_that_was_paid_for_twice_without_a_fault(finished: Finished) -> None:
    await finished.db.execute(PAID_TWICE, new_id(), "quiz", "ok")
    complaints = await finished.complaints("I6")
    assert len(complaints) == 1
    assert "quiz" in complaints[0]
    finished.history.fault("kill -9 content")
    assert await finished.complaints("I6") == []
    finished.history.recording.troubles.pop()


async def test_i7_sees_a_sample_above_the_budget_unless_the_server_could_not_know(finished: Finished) -> None:
    recording = finished.history.recording
    recording.samples.append(Sample(time.time(), Counter(content=5), Counter(content=4)))
    assert len(await finished.complaints("I7")) == 1
    with finished.history.trouble("postgresql blackholed", Mark.HIDES):
        recording.samples.append(Sample(time.time(), Counter(content=5), Counter(content=4)))
    assert len(await finished.complaints("I7")) == 1
    recording.samples.pop()
    recording.samples.pop()
    recording.troubles.pop()


async def test_i8_sees_a_process_that_ended_by_itself(finished: Finished) -> None:
    stack = finished.whole.stack
    await (await stack.launch("logs", DATABASE_URL="nonsense")).exits()
    assert len(await finished.complaints("I8")) == 1
    stack.everyone.pop()


async def test_i8_sees_a_process_that_took_longer_than_its_grace(finished: Finished) -> None:
    ends, content = finished.history.recording.ends, finished.whole.stack["content"]
    ended = ends[content.pid]
    ends[content.pid] = ended + 60
    assert len(await finished.complaints("I8")) == 1
    ends[content.pid] = ended


async def test_i9_sees_a_call_that_the_ledger_does_not_know(finished: Finished) -> None:
    async with httpx.AsyncClient() as client:
        body = finished.whole.model.calls[0].body
        await client.post(f"{finished.whole.model.url}/chat/completions", json=body, headers={"X-Purpose": "intent"})
    assert len(await finished.complaints("I9")) == 1
    finished.whole.model.calls.pop()


@pytest.mark.parametrize("status", ["ok", "unusable"])
async def test_i9_sees_an_answered_row_without_a_call(finished: Finished, status: str) -> None:
    await finished.db.execute(PAID_TWICE, new_id(), "intent", status)
    assert len(await finished.complaints("I9")) == 1


async def test_i9_sees_a_call_of_a_delivered_piece_that_was_never_settled(finished: Finished) -> None:
    last = "(SELECT id FROM model_calls WHERE kind = 'quiz' AND status = 'ok' ORDER BY id DESC LIMIT 1)"
    await finished.db.execute(f"UPDATE model_calls SET status = 'open' WHERE id = {last}")
    assert len(await finished.complaints("I9")) == 1


async def test_i10_sees_jobs_and_keys_that_are_left(finished: Finished) -> None:
    redis = finished.whole.redis
    await redis.zadd("content", {"write:x": 1})
    await redis.set("arq:in-progress:write:x", "1", ex=60)
    await redis.set("forgotten", "1")
    await redis.set("expires", "1", ex=60)
    assert len(await finished.complaints("I10")) == 3
    await redis.delete("content", "arq:in-progress:write:x", "forgotten", "expires")


async def test_i10_lets_a_count_of_tries_expire_when_redis_was_away(finished: Finished) -> None:
    redis = finished.whole.redis
    await redis.set("arq:retry:log:x", "1", ex=88_400)
    assert len(await finished.complaints("I10")) == 1
    finished.history.fault("redis away", Mark.AWAY)
    assert await finished.complaints("I10") == []
    await redis.persist("arq:retry:log:x")
    assert len(await finished.complaints("I10")) == 1
    finished.history.recording.troubles.pop()
    await redis.delete("arq:retry:log:x")


async def test_the_figures_of_a_test_are_a_line_of_the_file_that_the_environment_names(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, _ = await finished.history.judge(finished.db)
    monkeypatch.delenv(FIGURES, raising=False)
    figures.write("to nowhere")
    monkeypatch.setenv(FIGURES, str(tmp_path / "figures"))
    figures.write("one")
    figures.write("another")
    lines = [orjson.loads(line) for line in (tmp_path / "figures").read_bytes().splitlines()]
    assert [line["test"] for line in lines] == ["one", "another"]
    assert lines[0]["pieces"] == figures.pieces
