"""The quiz is about the tutorial, and waits for it."""

import pytest
from model_server import ModelServer, answer, status
from pieces import OpenRun

from roadmap.database import Database
from roadmap.execution_log.recorder import open_recorder
from roadmap.ids import Prefix, show_id
from roadmap.llm.client import Endpoint, open_provider
from roadmap.queue.client import open_queue
from roadmap.roadmaps import store as roadmaps
from roadmap.roadmaps.model import Concept, Kind, Module, Stage, Structure
from roadmap.runs.leases import open_leases
from roadmap.runs.tools import Tools
from roadmap.runs.write import write_concept

QUESTION = {"kind": "single", "prompt": "?", "options": ["aa", "bb", "cc"], "correct": [0], "explanation": "!"}
QUIZ = {"questions": [{**QUESTION, "prompt": f"{n}?"} for n in range(3)]}


@pytest.mark.parametrize("first", [status(429, {"retry-after": "60"}), answer("too short")])
async def test_a_quiz_waits_for_a_tutorial_that_will_be_tried_again(
    run: OpenRun, database: Database, redis_url: str, server: ModelServer, first: object
) -> None:
    concept = Concept(show_id(Prefix.CONCEPT, run.concept_id), "joins", "Joins", "Two tables.", 60, (), ("Join",))
    structure = Structure("SQL", "S", (Stage("", "s", (Module("", "m", (concept,)),)),))
    async with database.transaction() as tx:
        await roadmaps.add_version(tx, run.roadmap_id, structure, {"level": "beginner"})
    server.script(first, purpose="tutorial")
    server.script(answer(QUIZ), purpose="quiz")
    server.default = lambda _: status(429, {"retry-after": "60"})
    async with (
        open_queue(redis_url) as queue,
        open_recorder(database, queue) as recorder,
        open_provider(Endpoint("small", server.url)) as provider,
        open_leases(database, queue, "w1", 10) as leases,
    ):
        await write_concept(Tools(database, queue, provider, recorder, leases), run.run_id, run.concept_id)

    assert (await run.row(Kind.TUTORIAL))["status"] == "pending"
    assert server.count(purpose="quiz") == 0, "the quiz was asked for without its tutorial"
