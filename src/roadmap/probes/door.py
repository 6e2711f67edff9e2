"""The port of a process without `web`, which has more to say than an open runtime: that it starts, or hibernates."""

import asyncio
from functools import partial

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
    """What is behind the port just now; the process says so as it goes on. `woken`: somebody asked it to wake; None: it
    never sleeps."""

    def __init__(self, woken: asyncio.Event | None = None) -> None:
        self.runtime: Runtime | None = None
        self.readiness: Readiness | None = None
        self.hibernating = False
        self.woken = woken

    async def look(self) -> tuple[bool, Checks]:
        if self.hibernating:
            return True, {"process": "hibernating"}
        if self.readiness is None:
            return False, {"process": "starting"}
        return await self.readiness.look()


def create_app(door: Door) -> Starlette:
    """Who never sleeps cannot be woken: a waker that is sent to the wrong port shall notice."""
    routes = [Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)]
    if door.woken is not None:
        routes.append(Route("/wake", partial(_wake, door.woken), methods=["POST"]))
    app = Starlette(routes=routes)
    app.state.probed = door
    return app


async def _wake(woken: asyncio.Event, _request: Request) -> Response:
    """Answers at once, whether it was asleep or not; to be woken harms nobody."""
    woken.set()
    return JSONAnswer({"status": "woken"}, 202)
