"""The Starlette application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from roadmap.web.calls import handler
from roadmap.web.errors import PROBLEMS, bug
from roadmap.web.health import health, ready
from roadmap.web.middleware import Envelope
from roadmap.web.openapi import openapi
from roadmap.web.routes import OPERATIONS
from roadmap.web.state import LifespanState, WebState

__all__ = ["PUBLIC", "create_app"]

# What answers without a key (promise P8). Everything else is an operation, and asks for its caller.
PUBLIC = {"/health": health, "/ready": ready, "/openapi.json": openapi}


def create_app(state: WebState) -> Starlette:
    """The application over what `open_web` has opened; whoever opened it closes it."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[LifespanState]:
        yield {"web": state, "hub": state.hub}

    app = Starlette(
        routes=[
            *(Route(path, endpoint) for path, endpoint in PUBLIC.items()),
            *map(_route, dict.fromkeys(operation.path for operation in OPERATIONS)),
        ],
        middleware=[
            Middleware(Envelope),
            Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=4),
            Middleware(ExceptionMiddleware, handlers={Exception: bug}),
        ],
        exception_handlers=PROBLEMS,
        lifespan=lifespan,
    )
    # An address has one form: with a slash at its end it is another, and nothing is there.
    app.router.redirect_slashes = False
    return app


def _route(path: str) -> Route:
    """One route for all methods of a path, so that a 405 names every one of them."""
    handlers = {operation.method: handler(operation) for operation in OPERATIONS if operation.path == path}

    async def dispatch(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, dispatch, methods=list(handlers))
