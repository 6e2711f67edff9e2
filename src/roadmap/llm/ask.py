"""Asking the model: a typed answer or Markdown, with a few rounds of repair and a ledger row for every call."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import orjson
import structlog
from pydantic import BaseModel

from roadmap.errors import AnswerLost, Busy, Outage, Unusable
from roadmap.llm.client import Provider
from roadmap.llm.dialect import Dialect, DialectRefused
from roadmap.llm.extraction import clean_text, split_thoughts
from roadmap.llm.gate import Admission
from roadmap.llm.model import (
    CallStatus,
    Completion,
    Ledger,
    Message,
    PlannedCall,
    Prompt,
    Request,
    Shape,
    Spent,
    Usage,
)
from roadmap.llm.schema import strict_schema
from roadmap.llm.structured import Wrong, read_answer, read_markdown
from roadmap.llm.wire import fallback_instruction

__all__ = ["Ledger", "Llm", "PlannedCall", "no_rules"]

log = structlog.get_logger()

T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")

_ANSWER_REPAIRS = 2
_MARKDOWN_REPAIRS = 1
_QUOTED = 4_000


def no_rules(_: object) -> Sequence[str]:
    """The check of an answer for which its type says it all."""
    return ()


@dataclass(frozen=True, slots=True)
class _Question:
    """A prompt with all that stays the same over its rounds."""

    prompt: Prompt
    shape: Shape | None
    repairs: int

    @property
    def opening(self) -> tuple[Message, Message]:
        return Message("system", self.prompt.system), Message("user", self.prompt.user)

    def request(self, messages: tuple[Message, ...], dialect: Dialect, run_id: UUID) -> Request:
        return Request(self.prompt.purpose, messages, self.prompt.max_tokens, self.shape, dialect, run_id)

    def plan(self, provider: Provider, number: int, request: Request) -> PlannedCall:
        schema = orjson.dumps(self.shape.schema if self.shape else None)
        asked = b"\0".join([self.prompt.system.encode(), self.prompt.user.encode(), schema])
        prompt_hash, most = hashlib.sha256(asked).hexdigest(), provider.most(request)
        return PlannedCall(self.prompt.purpose, provider.name, provider.model, prompt_hash, number, most)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call under way; `started` by the monotonic clock."""

    id: UUID
    planned: PlannedCall
    started: float


class Llm:
    """Bound to one piece of work. `spent` holds its finished calls until the caller's transaction has settled them.

    Raises Outage (nothing was wrong with the question; try later), Unusable (also after repair, or its budget is spent)
    and Superseded (the work is no longer wanted). A call that is canceled stays open in the ledger, which is the truth
    about it.
    """

    def __init__(self, provider: Provider, ledger: Ledger) -> None:
        self.spent: list[Spent] = []
        self._provider = provider
        self._ledger = ledger

    async def ask(self, prompt: Prompt, answer: type[T], check: Callable[[T], Sequence[str]] = no_rules) -> T:
        """An answer of the type that also passes `check`, which returns complaints in words that the model can use."""
        question = _Question(prompt, Shape(prompt.purpose, strict_schema(answer)), _ANSWER_REPAIRS)
        return await self._converse(question, lambda completion: read_answer(completion, answer, check))

    async def write(self, prompt: Prompt) -> str:
        """Markdown: never empty, never cut off."""
        return await self._converse(_Question(prompt, None, _MARKDOWN_REPAIRS), read_markdown)

    async def _converse(self, question: _Question, read: Callable[[Completion], R]) -> R:
        """Rounds until the answer can be read; after the last one its complaint leaves as Unusable."""
        number = 0
        messages: tuple[Message, ...] = question.opening
        while True:
            try:
                return await self._round(question, number, messages, read)
            except Wrong as wrong:
                if number == question.repairs:
                    raise
                number, messages = number + 1, _repair(question, wrong)

    async def _round(
        self, question: _Question, number: int, messages: tuple[Message, ...], read: Callable[[Completion], R]
    ) -> R:
        """One answer, in the first dialect that the provider takes. Each refusal leaves a weaker one: four at most."""
        dialect = self._provider.dialect
        while True:
            request = question.request(messages, dialect, self._ledger.run_id)
            try:
                return await self._call(question.plan(self._provider, number, request), request, read)
            except DialectRefused as refused:
                dialect = refused.weaker

    async def _call(self, planned: PlannedCall, request: Request, read: Callable[[Completion], R]) -> R:
        """One HTTP call, one ledger row. The wait for room comes before the row, and leaves none when it is in vain."""
        async with self._provider.admit(request) as admission:
            return await self._make(planned, request, read, admission)

    async def _make(
        self, planned: PlannedCall, request: Request, read: Callable[[Completion], R], admission: Admission
    ) -> R:
        call = _Call(await self._ledger.reserve(planned, self.spent), planned, time.monotonic())
        completion = None
        admission.begin()
        try:
            completion = await self._provider.complete(request)
            admission.end(completion.usage)
            value = read(completion)
        except (Outage, Unusable) as exc:
            if isinstance(exc, Wrong) and completion is not None:
                exc.said = _quote(completion.text)
            self._note(call, completion, exc)
            raise
        self._note(call, completion, None)
        return value

    def _note(self, call: _Call, completion: Completion | None, error: Outage | Unusable | None) -> None:
        usage = completion.usage if completion else Usage()
        spent = Spent(
            call.id,
            usage.input_tokens,
            usage.output_tokens,
            self._provider.price(usage) if completion else _unknown_cost(call.planned, error),
            latency_ms=round((time.monotonic() - call.started) * 1000),
            finish_reason=completion.finish_reason if completion else None,
            outcome=_outcome(error),
            error=_code(error),
        )
        self.spent.append(spent)
        self._provider.tell(spent)
        _tell(call.planned.purpose, spent)


def _unknown_cost(planned: PlannedCall, error: Outage | Unusable | None) -> int:
    """Of a call that ended without a completion: the most that it can cost, unless the provider has refused it."""
    thrown_away = isinstance(error, Unusable) and error.code == "model_too_long"
    return planned.most_micros if thrown_away or isinstance(error, AnswerLost) else 0


def _tell(purpose: str, spent: Spent) -> None:
    log.debug(
        "model_call",
        purpose=purpose,
        ms=spent.latency_ms,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        finish_reason=spent.finish_reason,
        outcome=spent.outcome.value,
        error=spent.error,
    )


def _outcome(error: Outage | Unusable | None) -> CallStatus:
    if error is None:
        return CallStatus.OK
    return CallStatus.OUTAGE if isinstance(error, Outage) else CallStatus.UNUSABLE


def _code(error: Outage | Unusable | None) -> str | None:
    if isinstance(error, Busy):
        return "provider_busy"
    return error.code if isinstance(error, Unusable) else "provider_outage" if error else None


def _quote(text: str) -> str:
    """What the model said, without its thoughts, in characters that every request can carry."""
    spoken, _ = split_thoughts(text)
    return clean_text(spoken.strip() or text)[:_QUOTED]


def _repair(question: _Question, wrong: Wrong) -> tuple[Message, ...]:
    """The question again with the last answer and what is wrong with it: as long in the last round as in the first."""
    complaint = "\n".join(["Your last answer cannot be used:", *(f"- {line}" for line in wrong.complaints)])
    request = f"{complaint}\n\nAnswer the question again, in full, without these faults."
    if question.shape is not None and wrong.code == "model_malformed":
        # A provider may ignore `response_format` without a word; then this is the first time that the model sees it.
        request = f"{request}\n\n{fallback_instruction(question.shape)}"
    if not wrong.said.strip():
        # Some providers refuse an empty message, others two messages of one role in a row.
        system, user = question.opening
        return system, Message("user", f"{user.content}\n\n{request}")
    return *question.opening, Message("assistant", wrong.said), Message("user", request)
