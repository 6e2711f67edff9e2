"""The port of a process without `web`, which has more to say than an open runtime: that it starts, or hibernates."""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from roadmap.api.answers import JSONAnswer
from roadmap.probes.endpoints import health, metrics, ready
from roadmap.probes.readiness import Checks, Readiness
from roadmap.runtime import Runtime

__all__ = ["Door", "create_app"]


class Door:
    """What is behind the port just now; the process says so as it goes on. `woken`: somebody asked it to wake."""

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        self.readiness: Readiness | None = None
        self.hibernating = False
        self.woken = asyncio.Event()

    async def look(self) -> tuple[bool, Checks]:
        if self.hibernating:
            return True, {"process": "hibernating"}
        if self.readiness is None:
            return False, {"process": "starting"}
        return await self.readiness.look()


def create_app(door: Door) -> Starlette:
    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/ready", ready),
            Route("/metrics", metrics),
            Route("/wake", wake, methods=["POST"]),
        ],
    )
    app.state.probed = door
    return app


async def wake(request: Request) -> Response:
    """Answers at once, whether it was asleep or not; to be woken harms nobody."""
    door: Door = request.app.state.probed
    door.woken.set()
    return JSONAnswer({"status": "woken"}, 202)
