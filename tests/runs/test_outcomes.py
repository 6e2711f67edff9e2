"""How a job ended for operators: it failed when work was given up for good, it returned when it is to be done again."""

from model_server import ModelServer, answer, status
from whole import offline
from worker_here import open_tools, pass_time, queued_run, run_of, writing_run

from roadmap.database import Database
from roadmap.llm.client import Endpoint
from roadmap.queue.observer import Outcome
from roadmap.roadmaps.model import Kind
from roadmap.runs.draft import draft
from roadmap.runs.service import cancel_run
from roadmap.runs.write import write_concept


async def test_writing_succeeds_once_all_is_ready_and_when_nothing_is_left(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database)
    server.default = offline()
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        outcomes = [await write_concept(tools, run.id, run.concepts[0]) for _ in range(2)]
    assert outcomes == [Outcome.SUCCEEDED, Outcome.SUCCEEDED]
    assert await run.statuses() == {"ready"}


async def test_writing_returns_while_a_piece_is_tried_again_and_fails_with_it(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database, kinds=(Kind.TUTORIAL,))
    server.default = lambda _: answer("too short")
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        first = await write_concept(tools, run.id, run.concepts[0])
        await run.pass_time()
        second = await write_concept(tools, run.id, run.concepts[0])
    assert (first, second) == (Outcome.RETURNED, Outcome.FAILED)
    assert await run.statuses() == {"failed"}


async def test_one_failed_piece_among_good_ones_is_a_failed_job(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database)
    server.default = lambda call: answer("too short") if "tutorial" in call.purpose else offline()(call)
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        outcomes = []
        for _ in range(2):
            await run.pass_time()
            outcomes.append(await write_concept(tools, run.id, run.concepts[0]))
    assert outcomes == [Outcome.RETURNED, Outcome.FAILED]
    assert {piece["kind"]: piece["status"] for piece in await run.pieces()} == {
        "tutorial": "failed",
        "resources": "ready",
        "quiz": "ready",
    }


async def test_work_that_waits_for_the_provider_returns(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run, started = await writing_run(database), await queued_run(database)
    server.default = status(503)
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        assert await write_concept(tools, run.id, run.concepts[0]) is Outcome.RETURNED
        assert await draft(tools, started.run_id) is Outcome.RETURNED


async def test_a_draft_ends_as_its_run_does(database: Database, redis_url: str, server: ModelServer) -> None:
    good, bad = await queued_run(database), await queued_run(database)
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        server.default = offline()
        assert await draft(tools, good.run_id) is Outcome.SUCCEEDED
        server.default = lambda _: answer("no plan")
        assert await draft(tools, bad.run_id) is Outcome.RETURNED
        await pass_time(database)
        assert await draft(tools, bad.run_id) is Outcome.FAILED
    assert [(await run_of(database, run.run_id))["status"] for run in (good, bad)] == ["writing", "failed"]


async def test_work_that_nobody_wants_any_more_has_not_failed(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database)
    user_id = await database.fetchval("SELECT user_id FROM runs WHERE id = $1", run.id)
    async with database.transaction() as tx:
        await cancel_run(tx, user_id, run.id)
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        assert await write_concept(tools, run.id, run.concepts[0]) is Outcome.SUCCEEDED
