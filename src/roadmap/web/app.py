"""The Starlette application."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from roadmap.probes.endpoints import health, metrics, ready
from roadmap.web.calls import handler
from roadmap.web.errors import PROBLEMS, bug
from roadmap.web.middleware import Envelope
from roadmap.web.observation import Observation
from roadmap.web.openapi import openapi
from roadmap.web.overload import Bound
from roadmap.web.pages.access import page_handler
from roadmap.web.pages.routes import PAGES
from roadmap.web.routes import OPERATIONS
from roadmap.web.state import LifespanState, WebState

__all__ = ["PUBLIC", "create_app"]

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

# What answers without a key (promise P8). Everything else is an operation, and asks for its caller, or a page, whose
# table says who may see it.
PUBLIC = {"/health": health, "/ready": ready, "/metrics": metrics, "/openapi.json": openapi}


def create_app(state: WebState) -> Starlette:
    """The application over what `open_web` has opened; whoever opened it closes it."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[LifespanState]:
        yield {"web": state, "hub": state.hub, "looks": state.looks}

    app = Starlette(
        routes=[
            *(Route(path, endpoint) for path, endpoint in PUBLIC.items()),
            *_routes((operation.path, operation.method, handler(operation)) for operation in OPERATIONS),
            *_routes((page.path, page.method, page_handler(page)) for page in PAGES),
        ],
        middleware=[
            Middleware(Observation, state.runtime.metrics.requests),
            Middleware(Envelope),
            Middleware(Bound, most=state.runtime.settings.max_requests),
            Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=4),
            Middleware(ExceptionMiddleware, handlers={Exception: bug}),
        ],
        exception_handlers=PROBLEMS,
        lifespan=lifespan,
    )
    # An address has one form: with a slash at its end it is another, and nothing is there.
    app.router.redirect_slashes = False
    app.state.probed = state
    return app


def _routes(table: Iterable[tuple[str, str, Endpoint]]) -> list[Route]:
    """One route for all methods of a path, so that a 405 names every one of them."""
    handlers: dict[str, dict[str, Endpoint]] = {}
    for path, method, endpoint in table:
        handlers.setdefault(path, {})[method] = endpoint
    return [_route(path, of_path) for path, of_path in handlers.items()]


def _route(path: str, handlers: dict[str, Endpoint]) -> Route:
    async def dispatch(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, dispatch, methods=list(handlers))
