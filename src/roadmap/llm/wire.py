"""The OpenAI chat protocol, without the network: a request becomes a payload, a body becomes a completion."""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from roadmap.errors import AnswerLost, Outage
from roadmap.llm.dialect import Format
from roadmap.llm.model import Completion, Message, Request, Shape, Usage

__all__ = ["fallback_instruction", "likely_tokens", "most_usage", "read_completion", "write_payload"]

_CHARACTERS_PER_TOKEN = 4
# The new name of the limit is that of reasoning models, which also count their thoughts against it.
_ROOM_TO_THINK = 16_000
_NO_COMPLETION = "the model's provider answered something that is no completion"
_MOST_TOKENS = 1_000_000_000
_REASONS = {"max_tokens": "length", "model_length": "length", "safety": "content_filter", "refusal": "content_filter"}


def write_payload(model: str, request: Request) -> dict[str, Any]:
    """The JSON body of the call. No temperature: reasoning models refuse it, and the default serves the others."""
    payload: dict[str, Any] = {"model": model, "messages": _messages(request), **_limit(request)}
    if request.shape is not None and request.dialect.format is not Format.PROSE:
        payload["response_format"] = _response_format(request.shape, request.dialect.format)
    return payload


def most_usage(model: str, request: Request) -> Usage:
    """The most tokens that the call can use: a token is a byte of what we send or more, and the answer has a limit."""
    asked = orjson.dumps(write_payload(model, request))
    return Usage(len(asked), sum(_limit(request).values()))


def likely_tokens(request: Request) -> int:
    """About what a provider sets aside for the call: what is asked, and all that may be answered."""
    asked = sum(len(message.content) for message in request.messages)
    return asked // _CHARACTERS_PER_TOKEN + sum(_limit(request).values())


def _limit(request: Request) -> dict[str, int]:
    if request.dialect.new_limit:
        return {"max_completion_tokens": request.max_tokens + _ROOM_TO_THINK}
    return {"max_tokens": request.max_tokens}


def _messages(request: Request) -> list[dict[str, str]]:
    first, *others = request.messages
    if request.shape is not None and request.dialect.format is not Format.SCHEMA:
        first = Message(first.role, f"{first.content}\n\n{fallback_instruction(request.shape)}")
    return [{"role": message.role, "content": message.content} for message in (first, *others)]


def fallback_instruction(shape: Shape) -> str:
    """Tells in words what `response_format` would enforce."""
    schema = orjson.dumps(shape.schema).decode()
    return f"Answer with one JSON object and nothing else. It must match this JSON schema:\n{schema}"


def _response_format(shape: Shape, form: Format) -> dict[str, Any]:
    if form is Format.OBJECT:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": shape.name, "strict": True, "schema": shape.schema}}


def read_completion(body: bytes, request: Request) -> Completion:
    """Raises AnswerLost for a body that is no completion (a proxy's page, an empty list), and a plain Outage for an
    error under status 200, which nobody bills."""
    reply = _parse(body)
    try:
        choice = reply["choices"][0]
        message = choice["message"]
        text, refused = _content(message), bool(message.get("refusal"))
    except (TypeError, LookupError, AttributeError) as exc:
        lost = Outage if isinstance(reply, dict) and reply.get("error") else AnswerLost
        raise lost(_NO_COMPLETION, retry_in=5) from exc
    reason = _reason(choice.get("finish_reason"))
    if reason == "error":
        raise AnswerLost("the model's provider broke off its answer", retry_in=5)
    usage = _usage(reply.get("usage"), request, text)
    return Completion(text, reason, usage, refused or reason == "content_filter")


def _parse(body: bytes) -> Any:
    try:
        # Not orjson: one lone surrogate in the answer would cost the whole body.
        return json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as exc:
        raise AnswerLost(_NO_COMPLETION, retry_in=5) from exc


def _content(message: Mapping[str, Any]) -> str:
    """The text of a message: a string, nothing, or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _reason(raw: object) -> str:
    word = raw.lower()[:40].replace("\0", "") if isinstance(raw, str) else ""
    return _REASONS.get(word, word)


def _usage(raw: object, request: Request, text: str) -> Usage:
    told = raw if isinstance(raw, dict) else {}
    asked = sum(len(message.content) for message in request.messages)
    return Usage(_tokens(told.get("prompt_tokens"), asked), _tokens(told.get("completion_tokens"), len(text)))


def _tokens(told: object, characters: int) -> int:
    if isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= _MOST_TOKENS:
        return told
    return (characters + _CHARACTERS_PER_TOKEN - 1) // _CHARACTERS_PER_TOKEN
