"""Passwords: argon2id, in threads of their own, a few at once.

One hash takes 19 MiB and tens of milliseconds. A flood of sign-ins waits in line, and when the line is long it is told
to come back: it takes neither the memory nor the loop.
"""

import asyncio
import base64
import os
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from roadmap.errors import TooMany

__all__ = ["Hasher", "Passwords", "argon2id", "open_passwords"]

T = TypeVar("T")

AT_ONCE = 2
MOST_WAITING = 50
# OWASP's recommendation: 19 MiB, two passes, one lane.
MEMORY_KIB, PASSES, LANES, SALT, DIGEST = 19_456, 2, 1, 16, 32


class Hasher(Protocol):
    def hash(self, password: str) -> str: ...
    def verify(self, hash: str, password: str) -> bool: ...  # noqa: A002  argon2's name
    def check_needs_rehash(self, hash: str) -> bool: ...  # noqa: A002


def argon2id() -> PasswordHasher:
    return PasswordHasher(PASSES, MEMORY_KIB, LANES, DIGEST, SALT)


class Passwords:
    """Made by `open_passwords`. Raises TooMany when too many wait already."""

    def __init__(self, threads: ThreadPoolExecutor, hasher: Hasher) -> None:
        self._threads = threads
        self._hasher = hasher
        self._waiting = 0
        self._nobodys = _hash_of_nobody()

    async def hash(self, password: str) -> str:
        return await self._run(self._hasher.hash, _normal(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is the password. For an account that has none it takes as long, and is wrong."""
        right = await self._run(self._verify, stored or self._nobodys, _normal(password))
        return right and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False

    def require_room(self) -> None:
        """Raises TooMany, so that a try can be turned away before it is counted."""
        if self._waiting >= MOST_WAITING:
            raise TooMany("too many sign in at once; try again", retry_in=5)

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        self.require_room()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1


@contextmanager
def open_passwords(hasher: Hasher | None = None) -> Iterator[Passwords]:
    """What is under way at the end is waited for: tens of milliseconds."""
    threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
    try:
        yield Passwords(threads, hasher or argon2id())
    finally:
        threads.shutdown(cancel_futures=True)


def _normal(password: str) -> str:
    """The same letters are one password, however a keyboard composes them."""
    return unicodedata.normalize("NFKC", password)


def _hash_of_nobody() -> str:
    """Of today's parameters, and of no password: its digest is random."""
    salt, digest = (base64.b64encode(os.urandom(size)).rstrip(b"=").decode() for size in (SALT, DIGEST))
    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${digest}"
