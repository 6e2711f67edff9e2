"""What the model layer is told and what it tells: prompts, calls, their cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol
from uuid import UUID

from roadmap.llm.dialect import Dialect

__all__ = [
    "CallStatus",
    "Completion",
    "Ledger",
    "Message",
    "PlannedCall",
    "Prompt",
    "Request",
    "Shape",
    "Spent",
    "Usage",
]


class CallStatus(StrEnum):
    """Of a row in the ledger. One that stays OPEN was cut off: its process died or its job was canceled."""

    OPEN = "open"
    OK = "ok"
    UNUSABLE = "unusable"
    OUTAGE = "outage"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question to the model. `purpose` is a short name ([a-z_]+) for the ledger and for diagnostics."""

    purpose: str
    system: str
    user: str
    max_tokens: int = 8_000


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation with the model."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Shape:
    """The JSON that an answer must be: a name ([A-Za-z0-9_-]{1,64}) and a JSON schema."""

    name: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP call: the conversation so far, and the shape of the answer (None: plain text). `run_id`: for which run;
    None for nobody's."""

    purpose: str
    messages: tuple[Message, ...]
    max_tokens: int
    shape: Shape | None = None
    dialect: Dialect = field(default_factory=Dialect)
    run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; estimated where the provider tells none."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """The provider's answer. `finish_reason` is `stop`, `length`, `content_filter` or the provider's own word."""

    text: str
    finish_reason: str
    usage: Usage
    refused: bool = False


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """What the ledger is told before a call. `prompt_hash`: hex SHA-256 of system, user and schema; `round` from 0;
    `most_micros`: what it can cost at most, in micro-dollars."""

    purpose: str
    provider: str
    model: str
    prompt_hash: str
    round: int
    most_micros: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """One finished call, for the ledger. `error` is a public code, None when all is well. A call that may be billed,
    nobody knows for what, costs the most that it can."""

    call_id: UUID
    input_tokens: int
    output_tokens: int
    cost_micros: int
    latency_ms: int
    finish_reason: str | None
    outcome: CallStatus
    error: str | None


class Ledger(Protocol):
    """Where a call is written down before it is made."""

    @property
    def run_id(self) -> UUID:
        """Whose calls these are."""
        ...

    async def reserve(self, call: PlannedCall, finished: Sequence[Spent] = ()) -> UUID:
        """The id of the new row. `finished` are the earlier calls of the same work, which may not be settled yet.

        Raises Superseded when the run is no longer active, BudgetExceeded when nothing is left to spend, and NotYet
        when it depends on what the calls under way will cost.
        """
        ...
