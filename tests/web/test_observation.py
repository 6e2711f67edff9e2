"""When a request counts as over, and under which name."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.routing import Route

from roadmap.metrics import RequestMetrics
from roadmap.web.observation import Observation

JSON = [(b"content-type", b"application/json")]
STREAM = [(b"content-type", b"text/event-stream; charset=utf-8")]
ROUTE = Route("/v1/roadmaps/{roadmap_id}", lambda request: None)


class Observed:
    """An application that answers as it is told, and what was counted of it."""

    def __init__(self, headers: list[tuple[bytes, bytes]], fault: Exception | None = None) -> None:
        self.registry = CollectorRegistry()
        self.counted_at_start: dict[tuple[str, ...], float] = {}
        self._headers = headers
        self._fault = fault
        self._middleware = Observation(self._answer, RequestMetrics(self.registry))

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = ROUTE
        if self._fault is not None:
            raise self._fault
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        self.counted_at_start = self.counts()
        await send({"type": "http.response.body", "body": b"x"})

    async def get(self, scope_type: str = "http") -> None:
        async def send(message: Any) -> None: ...

        await self._middleware({"type": scope_type, "method": "GET", "path": "/v1/roadmaps/1"}, None, send)  # type: ignore[arg-type]

    def counts(self) -> dict[tuple[str, ...], float]:
        samples = [sample for metric in self.registry.collect() for sample in metric.samples]
        return {
            (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
            for sample in samples
            if sample.name.endswith("_count")
        }


async def test_an_answer_counts_when_it_is_whole() -> None:
    observed = Observed(JSON)
    await observed.get()
    assert observed.counted_at_start == {}
    assert observed.counts() == {("GET", "/v1/roadmaps/{roadmap_id}", "200"): 1}


async def test_an_event_stream_counts_once_and_when_it_begins() -> None:
    observed = Observed(STREAM)
    await observed.get()
    assert observed.counted_at_start == observed.counts() == {("GET", "/v1/roadmaps/{roadmap_id}", "200"): 1}


async def test_a_request_that_breaks_counts_as_a_fault_of_ours() -> None:
    observed = Observed(JSON, RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        await observed.get()
    assert observed.counts() == {("GET", "/v1/roadmaps/{roadmap_id}", "500"): 1}


async def test_what_is_no_request_is_not_counted() -> None:
    observed = Observed(JSON)
    await observed.get("lifespan")
    assert observed.counts() == {}
