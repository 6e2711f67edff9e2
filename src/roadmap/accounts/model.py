"""Who may sign in, and as what."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

__all__ = ["Account", "KeyLine", "Role"]


class Role(StrEnum):
    """The least first: each may do what those before it may."""

    LEARNER = "learner"  # has API keys and no password
    VIEWER = "viewer"
    OPERATOR = "operator"

    def allows(self, needed: "Role") -> bool:
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True)
class Account:
    """`password_hash` is None for who cannot sign in; a session of another `generation` has ended."""

    user_id: UUID
    email: str
    role: Role
    password_hash: str | None
    generation: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class KeyLine:
    """An API key as a list shows it."""

    id: UUID
    email: str
    name: str
    operator: bool
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
