"""From a request to a call: who asks, and is what they say acceptable? Then the operation's endpoint answers."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from starlette.responses import Response

from roadmap.api.operation import Call, NoBody, Operation
from roadmap.errors import Fault, Invalid, Unauthorized
from roadmap.web.state import WebState

__all__ = ["handler"]

M = TypeVar("M", bound=BaseModel)


def handler(operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    """The Starlette endpoint of an operation."""

    async def handle(request: Request) -> Response:
        state: WebState = request.state.web
        user_id = await _caller(state, request)
        raw = await request.body()
        body = _read_body(operation, request, raw)
        query = _validate(operation.query, _parameters(request), "")
        call = Call(request, user_id, body, query, raw)
        return await operation.endpoint(state.runtime.db, state.runtime.queue, call)

    return handle


async def _caller(state: WebState, request: Request) -> Any:
    """The user behind `Authorization: Bearer`; the local user of a machine with AUTH_MODE=none."""
    if state.local_user is not None:
        return state.local_user
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
    items = request.query_params.multi_items()
    names = [name for name, _ in items]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Invalid("a parameter is given twice", [Fault(name, "duplicate", "give it once") for name in twice])
    return dict(items)


def _validate(model: type[M], said: object, root: str) -> M:
    """`root` is `/` for a body, whose faults are found by JSON pointer, and empty for parameters."""
    try:
        return model.model_validate(said)
    except ValidationError as exc:
        faults = [_fault(error, root) for error in exc.errors(include_url=False, include_context=False)]
        raise Invalid(_summary(faults), faults) from exc


def _fault(error: ErrorDetails, root: str) -> Fault:
    path = "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in error["loc"])
    return Fault(root + path if path else "", error["type"], error["msg"].removeprefix("Value error, "))


def _summary(faults: list[Fault]) -> str:
    where = ", ".join(dict.fromkeys(fault.pointer or "the body" for fault in faults[:5]))
    return f"cannot accept {where}; see `errors`"
