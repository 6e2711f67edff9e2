"""The model that the settings name: over HTTP, or the offline one inside this process."""

from contextlib import AbstractAsyncContextManager

import structlog

from roadmap.errors import Misconfigured
from roadmap.llm.client import Endpoint, Provider, open_provider
from roadmap.llm.offline.app import create_app
from roadmap.settings import Environment, Settings

__all__ = ["open_model"]

log = structlog.get_logger()


def open_model(settings: Settings) -> AbstractAsyncContextManager[Provider]:
    """Raises Misconfigured in production when no model is named: an offline model there must be meant."""
    if not settings.uses_offline_model and not (settings.llm_base_url or settings.llm_api_key.get_secret_value()):
        raise Misconfigured("LLM_PROVIDER=http needs LLM_BASE_URL, or LLM_API_KEY for OpenAI's")
    if not settings.uses_offline_model:
        return open_provider(_remote(settings))
    if settings.environment is Environment.PRODUCTION and settings.llm_provider != "offline":
        raise Misconfigured("set LLM_API_KEY or LLM_BASE_URL, or LLM_PROVIDER=offline for the built-in model")
    log.warning("offline_model", advice="the built-in model answers; set LLM_API_KEY or LLM_BASE_URL for a real one")
    return open_provider(_offline(settings))


def _remote(settings: Settings) -> Endpoint:
    return Endpoint(
        model=settings.llm_model,
        base_url=settings.llm_base_url,
        api_key=settings.llm_api_key.get_secret_value(),
        timeout=settings.llm_timeout,
        # A concept has two calls at once: resources are found beside the tutorial.
        connections=2 * settings.content_concurrency,
        input_price=settings.llm_input_price,
        output_price=settings.llm_output_price,
    )


def _offline(settings: Settings) -> Endpoint:
    return Endpoint(
        model="offline",
        base_url="http://offline.invalid/v1",
        timeout=settings.llm_timeout,
        connections=2 * settings.content_concurrency,
        app=create_app(),
    )
