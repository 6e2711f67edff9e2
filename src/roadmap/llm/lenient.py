"""Almost-JSON as models write it, rewritten as JSON: comments, trailing and missing commas, other quotes, odd escapes.

Nothing is completed, no string means something else afterwards, and the time is proportional to the text.
(json-repair, which was tried first, is quadratic in stray quotes, and meanwhile the event loop stands still.)
"""

import json
import re
from collections.abc import Iterator
from itertools import pairwise

__all__ = ["COMMENT", "STRING", "to_json"]

# Both end with their closing or with the text, so that no character is looked at twice. `://` is an address.
STRING = r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)'
COMMENT = r"(?<!:)//[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/|\Z)"

_TOKEN = re.compile(
    rf"""(?P<space>\s+|{COMMENT})
    |"(?P<double>(?:[^"\\]|\\.)*)"
    |'(?P<single>(?:[^'\\]|\\.)*)'
    |[“„](?P<smart>[^“”„"\\]*)[”“]
    |(?P<mark>[{{}}\[\],:])
    |(?P<word>[\w.+-]+)""",
    re.DOTALL | re.VERBOSE,
)
_PYTHON = {"True": "true", "False": "false", "None": "null"}
_LITERAL = re.compile(r"true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_ESCAPED = re.compile(r"\\(.)|\"", re.DOTALL)
_END = ""


def to_json(text: str) -> str:
    """Raises ValueError where more than one reading is possible."""
    tokens = [*_tokens(text), _END]
    return "".join(_joined(token, following) for token, following in pairwise(_with_commas(tokens)))


def _tokens(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ValueError(f"unexpected character at {position}")
        position = found.end()
        if found.lastgroup != "space":
            yield _token(str(found.lastgroup), found)


def _token(kind: str, found: re.Match[str]) -> str:
    if kind in {"double", "single"}:
        return '"' + _ESCAPED.sub(_requoted, found[kind]) + '"'
    if kind == "smart":
        return json.dumps(found[kind], ensure_ascii=False)
    return _PYTHON.get(found[0], found[0])


def _requoted(found: re.Match[str]) -> str:
    """In double quotes an apostrophe needs no escape, a double quote does; the backslash of LaTeX's `\\(` is itself."""
    if found[0] == '"':
        return r"\""
    if found[1] == "'":
        return "'"
    return found[0] if found[1] in '"\\/bfnrtu' else rf"\{found[0]}"


def _with_commas(tokens: list[str]) -> Iterator[str]:
    """Adds the comma before a key that follows a value, and between two objects or lists."""
    yield tokens[0]
    for (before, token), following in zip(pairwise(tokens), [*tokens[2:], _END], strict=True):
        ended = before not in {"{", "[", ",", ":"}
        is_key = following == ":" and token not in {",", ":", "}", "]"}
        if ended and (is_key or (before in {"}", "]"} and token in {"{", "["})):
            yield ","
        yield token


def _joined(token: str, following: str) -> str:
    if (token, following) in {(",", "}"), (",", "]")}:
        return ""
    if token[0] in '{}[],:"' or _LITERAL.fullmatch(token):
        return token
    if following == ":":
        return json.dumps(token)
    raise ValueError("a word that is no value")
