"""Which web addresses of strangers may be asked for, by their spelling. Nothing is looked up here."""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urljoin

from roadmap.outbound.errors import Denied

__all__ = ["Address"]

_MOST_CHARACTERS = 2_000
_LONGEST_NAME = 253
# Our own grammar, stricter than any library's: where two parsers differ, a stranger may choose between them.
_WHOLE = re.compile(r"https://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?", re.IGNORECASE)
# At least two labels; the last starts with a letter, so that no spelling of an IPv4 address is one.
_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
# Top-level names that stand for a machine or a network of somebody's own, or for nothing.
_LOCAL = {
    "arpa", "corp", "example", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost",
    "onion", "private", "test",
}  # fmt: skip
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Address:
    """A web address that may be asked for, if its host leads somewhere public. `host` is in ASCII and lower case;
    `target` is path and query, without the fragment."""

    host: str
    port: int
    target: str

    @classmethod
    def read(cls, url: str, ports: frozenset[int]) -> Self:
        """Raises Denied for what is no https address of an ordinary host name on one of these ports."""
        _check_characters(url)
        found = _WHOLE.fullmatch(url)
        if found is None:
            raise Denied("it is no https address")
        host, colon, port = found["authority"].partition(":")
        target = quote((found["path"] or "/") + (found["query"] or ""), safe=_ASCII)
        return cls(_read_host(host), _read_port(port, ports) if colon else _read_port("443", ports), target)

    def join(self, location: str) -> str:
        """Where a redirect from here leads, not yet judged. Raises Denied when it leads nowhere."""
        _check_characters(location)  # urljoin would leave some of them out
        try:
            return urljoin(str(self), location)
        except ValueError as exc:
            raise Denied("it redirects to what is no address") from exc

    @property
    def authority(self) -> str:
        return self.host if self.port == 443 else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"https://{self.authority}{self.target}"


def _check_characters(url: str) -> None:
    if len(url) > _MOST_CHARACTERS:
        raise Denied(f"it has more than {_MOST_CHARACTERS} characters")
    # Invisible, unassigned and lone surrogate characters are not printable either.
    if not url.isprintable() or " " in url or "\\" in url:
        raise Denied("it holds characters that no address has")


def _read_host(host: str) -> str:
    name = host.lower()
    if len(name) <= _LONGEST_NAME and not name.isascii():
        name = _in_ascii(name)
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise Denied("its host is no ordinary name")
    if name.rpartition(".")[2] in _LOCAL:
        raise Denied("its host is a local name")
    return name


def _in_ascii(name: str) -> str:
    """The name in Punycode. One that is mapped on the way (full-width digits, ß) is an odd spelling of another."""
    try:
        encoded = name.encode("idna")
        unchanged = encoded.decode("idna") == name
    except UnicodeError as exc:
        raise Denied("its host is no name") from exc
    if not unchanged:
        raise Denied("its host is an odd spelling of another name")
    return encoded.decode("ascii")


def _read_port(port: str, ports: frozenset[int]) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) not in ports:
        raise Denied("its port is not that of https")
    return int(port)
