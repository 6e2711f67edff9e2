"""JSON out of what a model wrote: whatever stands around it, and mended only where no meaning is guessed first.

An object that is not closed is never completed: it is what a truncated answer looks like.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from roadmap.llm.lenient import COMMENT, STRING, to_json

__all__ = ["clean", "clean_text", "find_values", "split_thoughts"]

_DEPTH = 64
_SPANS = 16
# Reading leniently is done in Python: 0.25 s for this many characters, in which the event loop stands still.
_LENIENT = 200_000

_UNSTORABLE = re.compile("[\0\ufeff\ud800-\udfff]")
_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)\s*>", re.IGNORECASE)
# A brace in prose ("use { to open") starts nothing.
_OPENING = re.compile(r"""\{(?=\s*(?:["'“‘}]|//|/\*|\w{1,80}\s*:))|\[(?=\s*[\[{"'“])""")
_TOKENS = re.compile(rf"{STRING}|{COMMENT}|[{{}}\[\]]", re.DOTALL)


def find_values(text: str) -> Iterator[Any]:
    """The JSON values of an answer, most certain first; each is clean. At most some dozens."""
    text = clean_text(text).strip()
    yield from _read(_parse, text)
    for part in split_thoughts(text):
        spans = list(_spans(part))
        for span in spans:
            yield from _read(_parse, span)
        for span in spans if sum(map(len, spans)) <= _LENIENT else ():
            yield from _read(_parse_leniently, span)


def _read(reader: Callable[[str], Any], text: str) -> Iterator[Any]:
    """The value in the text, if there is one that can be stored."""
    try:
        yield clean(reader(text))
    except (ValueError, RecursionError):
        return


def split_thoughts(text: str) -> tuple[str, str]:
    """What was said outside think tags, and what follows a tag that was never closed.

    A closing tag alone ends a thought that a chat template had opened.
    """
    spoken: list[str] = []
    thought, end, inside = "", 0, False
    for tag in _THOUGHT.finditer(text):
        piece, end, closing = text[end : tag.start()], tag.end(), tag[1] == "/"
        if closing and not inside:
            spoken.clear()
        if not closing and not inside:
            spoken.append(piece)
        inside = not closing
    rest = text[end:]
    if inside:
        thought = rest
    else:
        spoken.append(rest)
    return "".join(spoken), thought


def _spans(text: str) -> Iterator[str]:
    """Outermost balanced objects and lists. An unbalanced one ends the search: what is in it is not the answer."""
    position = 0
    for _ in range(_SPANS):
        opening = _OPENING.search(text, position)
        if opening is None:
            return
        end = _closing(text, opening.start())
        if end is None:
            return
        yield text[opening.start() : end]
        position = end


def _closing(text: str, start: int) -> int | None:
    depth = 0
    for token in _TOKENS.finditer(text, start):
        if token[0] in "{[":
            depth += 1
        elif token[0] in "}]":
            depth -= 1
        if depth == 0:
            return token.end()
        if depth > _DEPTH:
            return None
    return None


def _parse(text: str) -> Any:
    """Raw line breaks inside strings are allowed: they can mean one thing only."""
    return json.loads(text, strict=False, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _parse_leniently(text: str) -> Any:
    return _parse(to_json(text))


def clean(value: Any, depth: int = 0) -> Any:
    """The value without what PostgreSQL cannot store. Raises ValueError below 64 levels and for NaN or Infinity."""
    if depth > _DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [clean(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {clean_text(str(key)): clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def clean_text(text: str) -> str:
    """Without null characters, byte order marks and lone surrogates."""
    return _UNSTORABLE.sub("", text)
