"""A piece that is taken over costs its siblings nothing, a suspect its neighbours nothing."""

import asyncio

import pytest
from model_server import Behaviour, Call, ModelServer, answer, stall
from stack import eventually
from whole import offline, subject
from worker_here import WritingRun, open_tools, run_of, writing_run

from roadmap.database import Database
from roadmap.llm.client import Endpoint
from roadmap.roadmaps.model import Kind
from roadmap.runs.suspects import MOST_WAITING, Suspects
from roadmap.runs.write import write_concept

ROUNDS = 20


class Gate:
    """A model that holds the answers to some calls back until it is opened."""

    def __init__(self, purpose: str) -> None:
        self.opened = asyncio.Event()
        self._purpose = purpose

    def __call__(self, call: Call) -> Behaviour:
        if call.purpose != self._purpose:
            return offline()(call)

        async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
            await self.opened.wait()
            await offline()(call)(call, writer)

        return behave


async def take_over(run: WritingRun, kind: Kind) -> None:
    """As another worker does, once the lease has run out."""
    query = "UPDATE content SET claim = claim + 1, claimed_by = 'w9' WHERE run_id = $1 AND kind = $2"
    await run.db.execute(query, run.id, kind.value)


@pytest.mark.fault("F4")
async def test_resources_taken_over_in_mid_work_leave_tutorial_and_quiz_alone(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        for _ in range(ROUNDS):
            run = await writing_run(database)
            server.default = gate = Gate("resources")
            job = asyncio.create_task(write_concept(tools, run.id, run.concepts[0]))
            await eventually(lambda: _asked(server, "resources"), "the resources are asked for")
            await take_over(run, Kind.RESOURCES)
            gate.opened.set()
            await job
            assert [(await run.piece(kind))["status"] for kind in Kind] == ["ready", "writing", "ready"]
            taken = await run.piece(Kind.RESOURCES)
            assert (taken["claimed_by"], taken["version"], taken["failures"]) == ("w9", 0, 0)
            assert [server.count(purpose=kind.value) for kind in Kind] == [1, 1, 1]
            assert (await run_of(database, run.id))["status"] == "writing"
            assert len(tools.leases) == 0
            server.calls.clear()


@pytest.mark.fault("F4")
async def test_a_tutorial_taken_over_in_mid_work_leaves_the_resources_alone_and_the_quiz_waiting(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database)
    server.default = gate = Gate("tutorial")
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        job = asyncio.create_task(write_concept(tools, run.id, run.concepts[0]))
        await eventually(lambda: _asked(server, "tutorial"), "the tutorial is asked for")
        await take_over(run, Kind.TUTORIAL)
        gate.opened.set()
        await job
    assert [(await run.piece(kind))["status"] for kind in Kind] == ["writing", "ready", "pending"]
    quiz = await run.piece(Kind.QUIZ)
    assert (quiz["claimed_by"], quiz["failures"], quiz["crashes"]) == (None, 0, 0)
    assert server.count(purpose="quiz") == 0


def _asked(server: ModelServer, purpose: str) -> bool:
    return server.count(purpose=purpose) > 0


class Line:
    """Tasks that want their turn: who is in, who was turned away."""

    def __init__(self) -> None:
        self.suspects = Suspects()
        self.inside: list[int] = []
        self.done: list[int] = []
        self.refused: list[int] = []
        self.go_on = asyncio.Event()

    async def lets_in(self, number: int) -> None:
        await eventually(lambda: self.inside == [number], f"{number} is in")

    async def turns_away(self, count: int) -> None:
        await eventually(lambda: len(self.refused) == count, f"{count} are turned away")

    async def take(self, number: int) -> None:
        async with self.suspects.turn() as alone:
            if not alone:
                self.refused.append(number)
                return
            self.inside.append(number)
            assert len(self.inside) == 1
            try:
                await self.go_on.wait()
                await asyncio.sleep(0)  # so that somebody else could come in
            finally:
                self.inside.remove(number)
            self.done.append(number)


async def test_suspects_are_let_in_one_by_one_and_a_long_line_turns_away_at_once() -> None:
    for _ in range(ROUNDS):
        line = Line()
        async with asyncio.TaskGroup() as group:
            for number in range(MOST_WAITING + 3):
                group.create_task(line.take(number))
            await line.turns_away(3)
            assert line.inside == [0]
            line.go_on.set()
        assert line.done == list(range(MOST_WAITING))
        assert line.refused == [MOST_WAITING, MOST_WAITING + 1, MOST_WAITING + 2]


@pytest.mark.parametrize("place", [0, 1, MOST_WAITING - 1])
async def test_whoever_is_canceled_in_the_line_frees_a_place(place: int) -> None:
    for _ in range(ROUNDS):
        line = Line()
        tasks = [asyncio.create_task(line.take(number)) for number in range(MOST_WAITING)]
        await line.lets_in(0)
        tasks[place].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[place]
        late = asyncio.create_task(line.take(99))
        await line.lets_in(int(place == 0))
        line.go_on.set()
        await asyncio.gather(*tasks, late, return_exceptions=True)
        assert line.refused == []
        assert line.done == [number for number in range(MOST_WAITING) if number != place] + [99]


@pytest.mark.fault("F21")
async def test_a_suspect_at_work_holds_up_other_suspects_and_nobody_else(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database, 3, (Kind.TUTORIAL,))
    await database.execute("UPDATE content SET crashes = 2 WHERE concept_id <> $1", run.concepts[2])
    server.default = lambda call: stall() if subject(call) == "c0" else offline()(call)
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        suspect = asyncio.create_task(write_concept(tools, run.id, run.concepts[0]))
        await eventually(lambda: len(server.calls) == 1, "the suspect is at work")
        other = asyncio.create_task(write_concept(tools, run.id, run.concepts[1]))
        await write_concept(tools, run.id, run.concepts[2])
        assert [(await run.piece(place=place))["status"] for place in range(3)] == ["writing", "pending", "ready"]
        assert (await run.piece(place=1))["claim"] == 0, "it is claimed only when its turn has come"
        suspect.cancel()
        with pytest.raises(asyncio.CancelledError):
            await suspect
        await other
    assert [(await run.piece(place=place))["status"] for place in range(3)] == ["pending", "ready", "ready"]
    assert (await run.piece())["crashes"] == 2, "to be handed back is no crash"


@pytest.mark.fault("F21")
async def test_what_saw_three_workers_die_is_given_up_without_a_call(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    run = await writing_run(database)
    await database.execute("UPDATE content SET crashes = 3")
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        await write_concept(tools, run.id, run.concepts[0])
    assert {(piece["status"], piece["error_code"]) for piece in await run.pieces()} == {("failed", "worker_died")}
    assert (await run_of(database, run.id))["status"] == "incomplete"
    assert server.calls == []


async def test_a_canceled_job_leaves_only_the_call_under_way_open_in_the_ledger(
    database: Database, redis_url: str, server: ModelServer
) -> None:
    async with open_tools(database, redis_url, Endpoint("small", server.url)) as tools:
        run = await writing_run(database, kinds=[Kind.TUTORIAL])
        server.script(answer("cut of", finish_reason="length"), stall(), purpose="tutorial")
        job = asyncio.create_task(write_concept(tools, run.id, run.concepts[0]))
        await eventually(lambda: server.count(purpose="tutorial") == 2, "the tutorial is asked for again")
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        rows = await database.fetch("SELECT round, status FROM model_calls ORDER BY round")
        assert [tuple(row) for row in rows] == [(0, "unusable"), (1, "open")]
