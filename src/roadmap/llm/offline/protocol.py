"""The chat-completions protocol from the provider's side: a body becomes a question, a text becomes a reply."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from roadmap.llm.offline.asked import Asked, records, said_line, said_number

__all__ = ["Question", "Reply", "read_question", "write_chunks", "write_completion", "write_reply"]

_INPUT = re.compile(r"<input>(.*?)</input>", re.DOTALL)
_CHARACTERS_PER_TOKEN = 4
_CHUNK = 400


@dataclass(frozen=True, slots=True)
class Question:
    """`prompt` is the SHA-256 of all messages: a round of repair is another prompt, a repeated call the same."""

    asked: Asked
    prompt: str
    model: str
    stream: bool
    most_tokens: int | None
    prompt_tokens: int

    @property
    def task(self) -> str:
        return said_line(self.asked, "task", 40) or "unknown"


@dataclass(frozen=True, slots=True)
class Reply:
    """`finish_reason` is `stop`, or `length` when the text was cut to the tokens that were allowed."""

    question: Question
    text: str
    finish_reason: str

    @property
    def usage(self) -> dict[str, int]:
        told, said = self.question.prompt_tokens, _tokens(len(self.text))
        return {"prompt_tokens": told, "completion_tokens": said, "total_tokens": told + said}

    def dump(self, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": f"offline-{self.question.prompt[:24]}",
            "object": kind,
            # The same question has the same answer, to the byte: no clock.
            "created": 0,
            "model": self.question.model,
            "choices": [{"index": 0, **choice}],
        }


def read_question(body: bytes) -> Question:
    """Raises ValueError for a body that is no chat request."""
    request = orjson.loads(body)
    if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
        raise ValueError("the body must be a JSON object with `messages`")  # noqa: TRY004 - no bug of the caller's
    contents = [str(message.get("content") or "") for message in records(request, "messages")]
    limits = (said_number(request, "max_tokens"), said_number(request, "max_completion_tokens"))
    return Question(
        asked=_find_input(contents),
        prompt=sha256("\0".join(contents).encode("utf-8", "replace")).hexdigest(),
        model=str(request.get("model") or "offline"),
        stream=request.get("stream") is True,
        most_tokens=min((limit for limit in limits if limit is not None), default=None),
        prompt_tokens=_tokens(sum(map(len, contents))),
    )


def write_reply(question: Question, answer: dict[str, Any] | str) -> Reply:
    text = answer if isinstance(answer, str) else orjson.dumps(answer).decode()
    if question.most_tokens is not None and _tokens(len(text)) > question.most_tokens:
        return Reply(question, text[: max(0, question.most_tokens) * _CHARACTERS_PER_TOKEN], "length")
    return Reply(question, text, "stop")


def write_completion(reply: Reply) -> bytes:
    message = {"role": "assistant", "content": reply.text}
    choice = {"message": message, "finish_reason": reply.finish_reason}
    return orjson.dumps({**reply.dump("chat.completion", choice), "usage": reply.usage})


def write_chunks(reply: Reply) -> Iterator[bytes]:
    """The completion as server-sent events."""
    for start in range(0, len(reply.text), _CHUNK):
        delta = {"role": "assistant", "content": reply.text[start : start + _CHUNK]}
        yield _event(reply.dump("chat.completion.chunk", {"delta": delta, "finish_reason": None}))
    last = reply.dump("chat.completion.chunk", {"delta": {}, "finish_reason": reply.finish_reason})
    yield _event({**last, "usage": reply.usage})
    yield b"data: [DONE]\n\n"


def _find_input(contents: list[str]) -> Asked:
    """The last block that parses: rounds of repair add messages behind it."""
    for content in reversed(contents):
        for block in reversed(_INPUT.findall(content)):
            try:
                found = orjson.loads(block)
            except orjson.JSONDecodeError:
                continue
            if isinstance(found, dict):
                return found
    return {}


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _tokens(characters: int) -> int:
    return max(1, characters // _CHARACTERS_PER_TOKEN)
