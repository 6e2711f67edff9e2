"""A provider that plays the model, and a run whose pieces are open."""

from collections.abc import AsyncIterator

import pytest
from model_server import ModelServer, model_server
from pieces import Notebook, OpenRun, open_run

from roadmap.content.model import Assignment
from roadmap.database import Database
from roadmap.llm.ask import Llm
from roadmap.llm.client import Endpoint, open_provider
from roadmap.roadmaps.model import Concept, LearnerLevel


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as running:
        yield running


@pytest.fixture
async def llm(server: ModelServer) -> AsyncIterator[Llm]:
    async with open_provider(Endpoint("small", server.url, timeout=5)) as provider:
        yield Llm(provider, Notebook())


@pytest.fixture
def assignment() -> Assignment:
    joins = Concept("cpt_1", "joins", "Joins", "Two tables at once.", 60, ("cpt_0",), ("Join tables",))
    return Assignment("Learn </input> SQL", "de", LearnerLevel.BEGINNER, joins, ("Tables",), ("Indexes",))


@pytest.fixture
async def run(database: Database) -> OpenRun:
    return await open_run(database)
