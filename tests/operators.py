"""Operators with passwords, and browsers in which they sign in."""

import re
from typing import Any

import httpx
from inside import Api

from roadmap.accounts.model import Role
from roadmap.accounts.passwords import Hasher, argon2id, open_passwords
from roadmap.accounts.service import create_account
from roadmap.audit.model import COMMAND_LINE
from roadmap.database import Database

__all__ = ["OLGA", "PASSWORD", "VERA", "CountingHasher", "add_account", "csrf_in", "sign_in"]

OLGA = "olga@example.org"  # operates
VERA = "vera@example.org"  # views
PASSWORD = "violet otter paints fences"


async def add_account(db: Database, email: str, role: Role, password: str = PASSWORD) -> None:
    with open_passwords() as passwords:
        await create_account(db, passwords, email, password, role=role, actor=COMMAND_LINE)


async def sign_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
    """The client keeps the cookie, as a browser does."""
    return await client.post("/monitor/sign-in", data={"email": email, "password": password, **fields})


def csrf_in(api: Api, client: httpx.AsyncClient) -> str:
    """What the pages of this client's session put into their forms."""
    cookie = next(cookie for cookie in client.cookies.jar if re.fullmatch(r"(__Host-)?roadmap", cookie.name))
    session = api.state.sessions.read(cookie.value or "")
    assert session is not None
    return api.state.sessions.csrf(session.id)


class CountingHasher:
    """argon2id that counts what it is asked."""

    def __init__(self) -> None:
        self.verified: list[str] = []
        self.hashed = 0
        self._hasher: Hasher = argon2id()

    def hash(self, password: str) -> str:
        self.hashed += 1
        return self._hasher.hash(password)

    def verify(self, hash: str, password: str) -> bool:  # noqa: A002  argon2's name
        self.verified.append(hash)
        return self._hasher.verify(hash, password)

    def check_needs_rehash(self, hash: str) -> bool:  # noqa: A002  argon2's name
        return self._hasher.check_needs_rehash(hash)

    def parameters(self) -> set[Any]:
        """Of the hashes that were verified: what decides how long that takes."""
        return {tuple(one.split("$")[1:4]) for one in self.verified}
