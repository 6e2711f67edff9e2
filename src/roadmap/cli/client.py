"""A small client of our own API, for the demo."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from roadmap.errors import Invalid

__all__ = ["Client", "open_client"]


class Client:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def create(self, wishes: dict[str, Any]) -> dict[str, Any]:
        response = await self._http.post("/v1/roadmaps", json=wishes)
        return _read(response)

    async def get(self, path: str) -> dict[str, Any]:
        return _read(await self._http.get(path))

    async def follow(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Every event of a roadmap from the first one to the end of its run; reconnects and misses nothing."""
        seen = 0
        while True:
            headers = {"Last-Event-ID": str(seen)}
            async with aconnect_sse(self._http, "GET", path, headers=headers) as source:
                if source.response.status_code == 204:
                    return
                async for frame in source.aiter_sse():
                    if frame.data and frame.event != "bye":  # a heartbeat has neither
                        event = frame.json()
                        seen = event["seq"]
                        yield event


@asynccontextmanager
async def open_client(base_url: str) -> AsyncIterator[Client]:
    timeout = httpx.Timeout(10, read=60)
    async with httpx.AsyncClient(base_url=base_url, timeout=timeout) as http:
        yield Client(http)


def _read(response: httpx.Response) -> dict[str, Any]:
    """Raises Invalid with what the API says of a request that it refused."""
    answer: dict[str, Any] = response.json()
    if response.is_error:
        faults = [f"{fault['pointer'].lstrip('/')}: {fault['detail']}" for fault in answer["errors"]]
        raise Invalid("; ".join(faults) or answer["detail"])
    return answer
