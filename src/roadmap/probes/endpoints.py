"""/health touches nothing; /ready looks at what this process needs, and names what is merely degraded."""

from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from roadmap.api.answers import JSONAnswer
from roadmap.figures.exposition import may_read
from roadmap.probes.readiness import Checks
from roadmap.runtime import Process, Runtime
from roadmap.settings import Environment

__all__ = ["Probed", "health", "metrics", "ready"]


class Probed(Protocol):
    """What the endpoints ask; `app.state.probed` of the application that they are in."""

    @property
    def runtime(self) -> Runtime | None:
        """None: it is not open, for the process starts or hibernates."""
        ...

    async def look(self) -> tuple[bool, Checks]:
        """Ready or not, and each check."""
        ...


async def health(_request: Request) -> Response:
    return JSONAnswer({"status": "ok"})


async def ready(request: Request) -> Response:
    probed: Probed = request.app.state.probed
    is_ready, checks = await probed.look()
    return JSONAnswer({"status": "ready" if is_ready else "unready", "checks": checks}, 200 if is_ready else 503)


async def metrics(request: Request) -> Response:
    """For Prometheus. In production an API that is open to the world shows it to nobody who has no token."""
    probed: Probed = request.app.state.probed
    runtime = probed.runtime
    if runtime is None:
        raise HTTPException(503, "nothing is open: the process starts, or hibernates", {"Retry-After": "5"})
    _check_reader(request, runtime)
    text, content_type = await runtime.exposition.render(request.headers.get("accept", ""))
    return Response(text, media_type=content_type)


def _check_reader(request: Request, runtime: Runtime) -> None:
    token = runtime.settings.metrics_token.get_secret_value()
    if token and not may_read(request.headers.get("authorization", ""), token):
        raise HTTPException(
            401, "set METRICS_TOKEN as the bearer token", {"WWW-Authenticate": 'Bearer realm="metrics"'}
        )
    in_public = Process.WEB in runtime.roles and runtime.settings.environment is Environment.PRODUCTION
    if in_public and not token:
        raise HTTPException(404)
