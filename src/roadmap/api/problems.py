"""Problems by RFC 9457: the one form in which a request is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from roadmap.api.answers import JSONAnswer
from roadmap.errors import Fault

__all__ = ["CODES", "Problem", "ProblemAnswer", "ProblemModel", "problem_answer"]

# The closed set of codes, with what each means. Documented in the OpenAPI document.
CODES = {
    "malformed_json": "The body is not JSON.",
    "unsupported_media_type": "The body must be application/json.",
    "too_large": "The body is larger than allowed.",
    "invalid": "The request is well-formed, but something in it cannot be accepted; see `errors`.",
    "unauthorized": "A valid API key is needed.",
    "forbidden": "Only operators may do this; use a key made with `roadmap keys create --operator`.",
    "not_found": "There is nothing here, or it is not yours.",
    "method_not_allowed": "This address does not answer to this method; see `Allow`.",
    "conflict": "The request conflicts with the present state.",
    "idempotency_mismatch": "This Idempotency-Key was used for a different request.",
    "idempotency_in_flight": "The first request with this Idempotency-Key has not finished.",
    "too_many": "Too much at once; see `Retry-After`.",
    "backlog_full": "Too much work waits already, and nothing was stored; see `Retry-After`.",
    "overloaded": "This process has as many requests under way as it takes; see `Retry-After`.",
    "unavailable": "Something that we depend on is away; see `Retry-After`.",
    "internal": "A fault of ours; it has been recorded under `request_id`.",
}
_RETRYABLE = {"too_many", "backlog_full", "overloaded", "unavailable", "internal", "idempotency_in_flight"}


class FaultModel(BaseModel):
    pointer: str
    code: str
    detail: str


class ProblemModel(BaseModel):
    """application/problem+json"""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    retryable: bool
    errors: list[FaultModel] = []


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    code: str
    detail: str
    faults: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


class ProblemAnswer(JSONAnswer):
    media_type = "application/problem+json"


def problem_answer(problem: Problem, scope: Mapping[str, Any]) -> ProblemAnswer:
    """The answer for a request, whose ASGI scope gives its path and request id."""
    title = HTTPStatus(problem.status).phrase
    content = {
        "type": f"urn:roadmap:problem:{problem.code}",
        "title": title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": scope["path"],
        "code": problem.code,
        "request_id": scope.get("request_id", ""),
        "retryable": problem.code in _RETRYABLE,
        "errors": [{"pointer": f.pointer, "code": f.code, "detail": f.detail} for f in problem.faults],
    }
    return ProblemAnswer(content, status_code=problem.status, headers=dict(problem.headers))
