"""An entry of the audit log: who did what to what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from roadmap.ids import Prefix, show_id

__all__ = ["COMMAND_LINE", "UNKNOWN", "Action", "Actor", "AuditRow", "Entry"]


class Action(StrEnum):
    SIGNED_IN = "signed_in"
    SIGN_IN_REFUSED = "sign_in_refused"
    SIGNED_OUT = "signed_out"
    ACCOUNT_CREATED = "account_created"
    PASSWORD_SET = "password_set"  # noqa: S105  an action's name
    ROLE_SET = "role_set"
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    DEAD_JOBS_RETRIED = "dead_jobs_retried"
    DEAD_JOBS_DISCARDED = "dead_jobs_discarded"
    RUN_CANCELED = "run_canceled"
    ROADMAP_COMPLETED = "roadmap_completed"
    QUEUE_PAUSED = "queue_paused"
    QUEUE_RESUMED = "queue_resumed"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, by `name`: an e-mail address, `key of` one, or what it was instead. `address` is the client's."""

    name: str
    user_id: UUID | None = None
    address: str | None = None

    @property
    def mark(self) -> str:
        """What stands where learners may see it: no operator's e-mail address."""
        return "cli" if self.user_id is None else show_id(Prefix.USER, self.user_id)


COMMAND_LINE = Actor("command line")
UNKNOWN = "unknown"  # who could not be told


@dataclass(frozen=True, slots=True)
class Entry:
    """To be written. `subject` is what it was done to: an id as the API shows it, a queue, an e-mail address."""

    actor: Actor
    action: Action
    subject: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """As it is stored. An entry with `details.times` stands for so many within one minute; one with
    `details.unfinished` tells of work that goes on, or was cut short. `action` is plain text where only a newer release
    knows it."""

    id: UUID
    at: datetime
    user_id: UUID | None
    actor: str
    address: str | None
    action: Action | str
    subject: str
    details: dict[str, Any]
