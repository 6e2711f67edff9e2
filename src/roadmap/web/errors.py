"""Exception → problem, as a table."""

from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from roadmap.api.idempotency import InFlight
from roadmap.api.problems import Problem
from roadmap.errors import Invalid, Outage, Refused, TooMany, Unauthorized
from roadmap.web.pages.problems import tell_problem

__all__ = ["PROBLEMS", "bug"]

log = structlog.get_logger()

_DETAILS = {404: "nothing is here; /openapi.json tells what is", 405: "this address answers to {allow}"}
_HTTP_CODES = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def refused(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refused)  # noqa: S101  the table says so
    faults = exc.faults if isinstance(exc, Invalid) else ()
    return _answer(Problem(exc.status, exc.code, str(exc), faults, _headers(exc)), request)


def outage(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Outage)  # noqa: S101  the table says so
    log.warning("request_met_outage", path=request.scope["path"], code=exc.code, error=str(exc))
    headers = {"Retry-After": str(max(1, round(exc.retry_in)))}
    return _answer(Problem(503, exc.code, f"{exc}; try again", headers=headers), request)


def from_starlette(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # noqa: S101  the table says so
    code = _HTTP_CODES.get(exc.status_code, "invalid")
    detail = _DETAILS.get(exc.status_code, exc.detail).format(allow=(exc.headers or {}).get("Allow", ""))
    return _answer(Problem(exc.status_code, code, detail, headers=dict(exc.headers or {})), request)


def gone(request: Request, exc: Exception) -> Response:
    """The caller left before its request was whole: nobody reads this answer, and nothing is wrong here."""
    assert isinstance(exc, ClientDisconnect)  # noqa: S101  the table says so
    log.debug("caller_gone", path=request.scope["path"])
    return Response(status_code=400)


def bug(request: Request, exc: Exception) -> Response:
    """For everything else. It is the web's border."""
    log.error("request_failed", path=request.scope["path"], method=request.method, exc_info=exc)
    return _answer(Problem(500, "internal", "a fault of ours; it has been recorded"), request)


def _answer(problem: Problem, request: Request) -> Response:
    return tell_problem(problem, request.scope)


def _headers(exc: Refused) -> dict[str, str]:
    if isinstance(exc, Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="roadmap"'}
    if isinstance(exc, TooMany | InFlight):
        return {"Retry-After": str(max(1, round(exc.retry_in)))}
    return {}


PROBLEMS: dict[Any, Any] = {Refused: refused, Outage: outage, HTTPException: from_starlette, ClientDisconnect: gone}
