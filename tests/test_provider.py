"""Which model answers, and what an operator is told of it."""

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from roadmap.provider import open_model
from roadmap.queue.client import open_queue
from roadmap.settings import Settings

KEY = SecretStr("a-key")
ADDRESS = "https://models.example/v1"


async def advice(settings: Settings) -> str:
    """What the one line says that its start writes."""
    with capture_logs() as logs:
        async with open_queue("redis://127.0.0.1:1/0") as queue, open_model(settings, queue):
            pass
    (entry,) = logs
    assert (entry["event"], entry["log_level"]) == ("offline_model", "warning")
    text: str = entry["advice"]
    return text


@pytest.mark.parametrize(
    ("settings", "unused"),
    [
        (Settings(llm_provider="offline", llm_api_key=KEY), "LLM_API_KEY"),
        (Settings(llm_provider="offline", llm_base_url=ADDRESS), "LLM_BASE_URL"),
        (Settings(llm_provider="offline", llm_base_url=ADDRESS, llm_api_key=KEY), "LLM_API_KEY and LLM_BASE_URL"),
    ],
)
async def test_a_key_that_the_offline_model_makes_useless_is_told_of(settings: Settings, unused: str) -> None:
    said = await advice(settings)
    assert said == f"LLM_PROVIDER=offline: not used is {unused}; unset LLM_PROVIDER for a real model"


@pytest.mark.parametrize("settings", [Settings(), Settings(llm_provider="offline")])
async def test_without_a_key_the_offline_model_says_what_a_real_one_needs(settings: Settings) -> None:
    said = await advice(settings)
    assert "for a real one set LLM_API_KEY or LLM_BASE_URL, and not LLM_PROVIDER=offline" in said
