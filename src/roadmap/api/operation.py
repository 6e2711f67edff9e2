"""An operation is a line of the URL table; a call is one request to it, validated."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from roadmap.database import Database
from roadmap.ids import Prefix, parse_id
from roadmap.queue.client import Queue

__all__ = ["Body", "Call", "Endpoint", "Limits", "NoBody", "NoQuery", "Operation", "Query"]


class Body(BaseModel):
    """What a request's body says. Strict: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Query(BaseModel):
    """What a request's query says. Strict: an unknown parameter is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoBody(Body):
    pass


class NoQuery(Query):
    pass


B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much work may wait before more is refused: jobs on the queue, and active runs of one learner; and what the
    calls of one learner may cost a day, in micro-dollars. 0: no limit."""

    backlog: int = 0
    learner_backlog: int = 0
    learner_daily_micros: int = 0


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """One validated request. `user_id` is the caller, whom `caller` names for people; `raw` is the body as it came, for
    its fingerprint."""

    request: Request
    user_id: UUID
    body: B
    query: Q
    raw: bytes = b""
    limits: Limits = Limits()
    caller: str = ""

    def path_id(self, prefix: Prefix, name: str) -> UUID:
        """The UUID of a path parameter. Raises NotFound when it has not the form of such an id."""
        return parse_id(prefix, self.request.path_params[name])


Endpoint = Callable[[Database, Queue, Call[Any, Any]], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """A method on a path, who answers it, and what the OpenAPI document says about it.

    `headers` are the request headers that it understands; `empty` says that it may answer 204; `operator` that only
    operators may ask.
    """

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    answer: type[BaseModel]
    status: int = 200
    body: type[Body] = NoBody
    query: type[Query] = NoQuery
    headers: tuple[str, ...] = ()
    other_media_types: tuple[str, ...] = ()
    empty: bool = False
    operator: bool = False
