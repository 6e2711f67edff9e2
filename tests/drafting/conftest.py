"""A provider that plays the model, and steps in memory."""

from collections.abc import AsyncIterator

import pytest
from drafts import Memory
from model_server import ModelServer, model_server

from roadmap.llm.client import Endpoint, open_provider


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as running:
        yield running


@pytest.fixture
async def step(server: ModelServer) -> AsyncIterator[Memory]:
    async with open_provider(Endpoint("small", server.url, timeout=5)) as provider:
        yield Memory(provider)
