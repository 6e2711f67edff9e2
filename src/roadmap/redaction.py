"""What no output may show: the values of this process's secrets, and what looks like a secret of anybody."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import orjson

__all__ = ["REDACTED", "Redactor"]

REDACTED = "***"
SHORTEST = 8  # characters; a shorter value is also a part of honest words, and goes by the patterns only
MOST_NAMES = 2_000
DEEPEST = 50

_NAMES = r"pass(?:word|wd|phrase)|pwd|secret(?:[_-]?key)?|api[_-]?key|token|csrf"
_SENSITIVE_NAME = re.compile(rf"(?:^|[_.-])(?:{_NAMES}|authorization|cookie)$", re.IGNORECASE)
# Each with what stays of it.
_PATTERNS = (
    (re.compile(r"(?<=://)[^\s/?#\"'<>]*@"), f"{REDACTED}@"),  # user and password in an address
    (re.compile(r"(?i)(?<=bearer )[^\s'\",]+"), REDACTED),
    (re.compile(r"\b[rs]k[_-][\w-]{8,}"), REDACTED),  # API keys, ours and those of many others
    (re.compile(r"\$argon2[^\s\"']*"), REDACTED),
    (re.compile(r"(?i)(authorization[\"']?\s*[:=]\s*[\"']?)(?:(?:basic|digest|token) )?[^\s\"',;]+"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)(cookie[\"']?\s*[:=]\s*[\"']?)(?:\{[^}]*|[^\s\"',;]+(?:;\s*[^\s\"',;]+)*)"), rf"\1{REDACTED}"),
    (re.compile(rf"(?i)((?:{_NAMES})(?:[\"']\s*:\s*[\"']?|=[\"']?))[^\s\"'&;,)}}]+"), rf"\1{REDACTED}"),
)
# One of these, or of those below, stands in every JSON text that is not clean: to look for the patterns themselves
# would cost more than a line does. Given up are `BEARER`, `AUTHORIZATION` and `COOKIE` in capitals.
_SIGNS = ("earer ", "$argon2", "uthorization", "ookie")
_KEY = re.compile(r"(?:\b|\\[a-z])[rs]k[_-]")  # also at the beginning of a line, which JSON writes as `\n`
# The end of a secret's name inside a text, and what follows it there. Spelled out: a pattern for both cases is slow.
_NAMED = re.compile(r"(?:ord|wd|hrase|ecret|key|Key|oken|srf|ORD|WD|HRASE|ECRET|KEY|OKEN|SRF)(?:=|'|\\\")")
_CONTAINERS: frozenset[type] = frozenset({dict, list, tuple})
_NAME_SIGNS = ('wd"', 'phrase"', 'ecret"', 'ey"', 'orization"', 'ookie"', 'oken"', 'csrf"')


class Redactor:
    """Takes these secrets out, and what has their form. Nearly every line is clean, and that is seen in microseconds.

    An address is no secret, its password is: as it is written there, and as it is meant.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        values = {value for secret in secrets for value in _forms(secret) if len(value) >= SHORTEST}
        self._values = re.compile("|".join(map(re.escape, sorted(values, key=len, reverse=True)))) if values else None
        self._signs = (*_SIGNS, *{form for value in values for form in (value, _in_json(value))})
        self._clean_names: set[str] = set()

    def text(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub(REDACTED, text)
        for pattern, rest in _PATTERNS:
            text = pattern.sub(rest, text)
        return text

    def tree(self, value: Any, depth: int = 0) -> Any:
        """The same for what JSON is made of; a field whose name says that it is a secret loses its value."""
        if isinstance(value, str):
            return self.text(value)
        if depth > DEEPEST:
            return REDACTED
        if isinstance(value, list):
            return [self.tree(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {self.text(name): self._field(name, item, depth + 1) for name, item in value.items()}
        return value

    def json(self, text: str) -> str:
        """The same for a JSON text, which is read only when something in it looks like a secret."""
        if not self._is_suspect(text) and not any(sign in text for sign in _NAME_SIGNS):
            return text
        return orjson.dumps(self.tree(orjson.loads(text))).decode()

    def line(self, line: bytes, fields: Mapping[Any, Any]) -> bytes | None:
        """What goes out instead of the JSON line of these fields: None when it may stay as it is."""
        if not self._is_suspect(line.decode()) and self._has_clean_names(fields):
            return None
        return orjson.dumps(self.tree(orjson.loads(line)), option=orjson.OPT_APPEND_NEWLINE)

    def _field(self, name: str, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float) or not _SENSITIVE_NAME.search(name):
            return self.tree(value, depth)
        return REDACTED

    def _is_suspect(self, text: str) -> bool:
        if "@" in text and "://" in text:
            return True
        for sign in self._signs:  # a generator would cost as much as all the looking
            if sign in text:
                return True
        if ("k_" in text or "k-" in text) and _KEY.search(text):
            return True
        return ("=" in text or '\\"' in text or "'" in text) and _NAMED.search(text) is not None

    def _has_clean_names(self, fields: Mapping[Any, Any]) -> bool:
        """Also of what is inside. Nobody knows a list's before it is read."""
        if not self._clean_names.issuperset(fields) and not self._learn(fields):
            return False
        for value in fields.values():
            if value.__class__ in _CONTAINERS and not (isinstance(value, dict) and self._has_clean_names(value)):
                return False
        return True

    def _learn(self, names: Iterable[Any]) -> bool:
        texts = [str(name) for name in names]
        if any(map(_SENSITIVE_NAME.search, texts)):
            return False
        if len(self._clean_names) < MOST_NAMES:
            self._clean_names.update(texts)
        return True


def _forms(secret: str) -> Iterator[str]:
    """Of an address the password; of anything else itself."""
    try:
        parts = urlsplit(secret)
        has_place = bool(parts.scheme and parts.scheme.isalpha() and "://" in secret)
        found = _passwords(parts.username, parts.password, parts.query) if has_place else [secret]
    except ValueError:
        found = [secret]
    for value in found:
        meant = unquote(value)
        yield from (value, meant, quote(meant, safe=""), repr(meant)[1:-1], repr(meant.encode())[2:-1])


def _passwords(user: str | None, password: str | None, query: str) -> list[str]:
    """A password that is the user's name as well is told with every name."""
    asked = [value for name, value in parse_qsl(query) if _SENSITIVE_NAME.search(name)]
    return [*asked, *([password] if password and password != user else [])]


def _in_json(value: str) -> str:
    return orjson.dumps(value).decode()[1:-1]
