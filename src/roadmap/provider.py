"""The model that the settings name: over HTTP, or the offline one inside this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from roadmap.errors import Misconfigured
from roadmap.llm.client import Endpoint, Provider, address_of, open_provider
from roadmap.llm.gate import Gate
from roadmap.llm.offline.app import create_app
from roadmap.metrics import ModelMetrics
from roadmap.queue.client import Queue
from roadmap.queue.limiter import Quota, open_limiter
from roadmap.settings import Environment, Settings

__all__ = ["open_model"]

log = structlog.get_logger()


@asynccontextmanager
async def open_model(settings: Settings, queue: Queue, metrics: ModelMetrics | None = None) -> AsyncIterator[Provider]:
    """`metrics` hears of its calls. Raises Misconfigured in production when no model is named: an offline one must be
    meant there."""
    endpoint = _choose(settings)
    async with _open_gate(settings, queue, endpoint) as gate, open_provider(endpoint, gate, metrics) as provider:
        yield provider


@asynccontextmanager
async def _open_gate(settings: Settings, queue: Queue, endpoint: Endpoint) -> AsyncIterator[Gate | None]:
    """None where no limit is set: then no call asks anybody."""
    quota = Quota(settings.llm_concurrency, settings.llm_requests_per_minute, settings.llm_tokens_per_minute)
    if not quota.is_set:
        yield None
        return
    name = f"{address_of(endpoint).netloc.decode()}:{endpoint.model}"
    async with open_limiter(queue, name, quota, settings.replicas_content) as limiter:
        yield Gate(limiter)


def _choose(settings: Settings) -> Endpoint:
    if not settings.uses_offline_model and not (settings.llm_base_url or settings.llm_api_key.get_secret_value()):
        raise Misconfigured("LLM_PROVIDER=http needs LLM_BASE_URL, or LLM_API_KEY for OpenAI's")
    if not settings.uses_offline_model:
        _warn_of_unknown_prices(settings)
        return _remote(settings)
    if settings.environment is Environment.PRODUCTION and settings.llm_provider != "offline":
        raise Misconfigured("set LLM_API_KEY or LLM_BASE_URL, or LLM_PROVIDER=offline for the built-in model")
    log.warning("offline_model", advice=_advise(settings))
    return _offline(settings)


def _advise(settings: Settings) -> str:
    """LLM_PROVIDER=offline wins over a key, and nobody should learn that from the tutorials."""
    given = {"LLM_API_KEY": settings.llm_api_key.get_secret_value(), "LLM_BASE_URL": settings.llm_base_url}
    if unused := [name for name, value in given.items() if value]:
        return f"LLM_PROVIDER=offline: not used is {' and '.join(unused)}; unset LLM_PROVIDER for a real model"
    return "the built-in model answers; for a real one set LLM_API_KEY or LLM_BASE_URL, and not LLM_PROVIDER=offline"


def _warn_of_unknown_prices(settings: Settings) -> None:
    if settings.learner_daily_micros and not (settings.llm_input_price or settings.llm_output_price):
        log.warning(
            "budget_without_prices", advice="LEARNER_DAILY_MICROS limits nothing: set LLM_INPUT_PRICE, LLM_OUTPUT_PRICE"
        )


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
