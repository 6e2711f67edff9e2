"""Who is behind a call of the API, for the audit log."""

from typing import Any

from roadmap.api.operation import Call
from roadmap.audit.model import Actor

__all__ = ["actor_of"]


def actor_of(call: Call[Any, Any]) -> Actor:
    client = call.request.client
    return Actor(call.caller, call.user_id, client.host if client else None)
