"""From a request to a call: who asks, and is what they say acceptable? Then the operation's endpoint answers."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from roadmap.accounts.keys import LOCAL_EMAIL
from roadmap.accounts.store import Caller
from roadmap.api.operation import Call, Limits, NoBody, Operation
from roadmap.errors import Fault, Forbidden, Invalid, Unauthorized
from roadmap.web.faults import MOST, faults_of, summary_of
from roadmap.web.hosts import check_origin, require_local_host
from roadmap.web.state import WebState

__all__ = ["handler"]

M = TypeVar("M", bound=BaseModel)

SAFE = {"GET", "HEAD"}  # methods that change nothing, and whose answers a browser shows to no other site


def handler(operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    """The Starlette endpoint of an operation."""

    async def handle(request: Request) -> Response:
        state: WebState = request.state.web
        caller = await _caller(state, request)
        if operation.operator and not caller.operator:
            raise Forbidden("only operators may do this")
        raw = await request.body()
        body = _read_body(operation, request, raw)
        query = _validate(operation.query, _parameters(request), "")
        call = Call(request, caller.user_id, body, query, raw, _limits(state), caller.name)
        return await operation.endpoint(state.runtime.db, state.runtime.queue, call)

    return handle


def _limits(state: WebState) -> Limits:
    settings = state.runtime.settings
    return Limits(settings.backlog_limit, settings.learner_backlog, settings.learner_daily_micros)


async def _caller(state: WebState, request: Request) -> Caller:
    """Who is behind `Authorization: Bearer`; the local user, who may do anything, of a machine with AUTH_MODE=none."""
    if state.local_user is not None:
        require_local_host(request, state.runtime.settings.host)
        if request.method not in SAFE:
            check_origin(request)  # no key is asked for that a stranger's page would lack
        return Caller(state.local_user, operator=True, name=LOCAL_EMAIL)
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise Unauthorized("send your API key as `Authorization: Bearer rk_…`")
    return await state.keys.caller(state.runtime.db, secret.strip())


def _read_body(operation: Operation, request: Request, raw: bytes) -> Any:
    if operation.body is NoBody:
        if raw.strip() not in {b"", b"{}"}:
            raise Invalid("this operation takes no body", [Fault("", "extra_forbidden", "send no body")])
        return NoBody()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Invalid("send the body as application/json", status=415, code="unsupported_media_type")
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise Invalid(f"the body is not JSON: {exc}", status=400, code="malformed_json") from exc
    return _validate(operation.body, said, "/")


def _parameters(request: Request) -> dict[str, Any]:
    """The query's parameters. Raises Invalid for one that is given twice."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    if twice := sorted(name for name, times in given.items() if times > 1):
        raise Invalid("a parameter is given twice", [Fault(name, "duplicate", "give it once") for name in twice[:MOST]])
    return dict(request.query_params)


def _validate(model: type[M], said: object, root: str) -> M:
    """`root` is `/` for a body, whose faults are found by JSON pointer, and empty for parameters."""
    try:
        return model.model_validate(said)
    except ValidationError as exc:
        faults = faults_of(exc, model, root)
        raise Invalid(summary_of(faults), faults) from exc
