"""What a provider understands of the protocol: some lack JSON schemas, some renamed the limit of tokens."""

from dataclasses import dataclass, replace
from enum import IntEnum

from roadmap.errors import Unusable

__all__ = ["Dialect", "DialectRefused", "Format"]


class Format(IntEnum):
    """How the shape of an answer is asked for, strongest first."""

    SCHEMA = 0
    OBJECT = 1
    PROSE = 2


@dataclass(frozen=True, slots=True)
class Dialect:
    """Starts at the most capable and is weakened by refusals; `new_limit` says `max_completion_tokens`."""

    format: Format = Format.SCHEMA
    new_limit: bool = False

    def after_refusal(self, complaint: str, *, structured: bool) -> "Dialect | None":
        """What to try next after a 400; None when the dialect cannot be to blame."""
        if not self.new_limit and "max_completion_tokens" in complaint:
            return replace(self, new_limit=True)
        if not structured or self.format is Format.PROSE:
            return None
        return replace(self, format=Format(self.format + 1))

    def joined(self, proven: "Dialect") -> "Dialect":
        """What is known once `proven` has worked: nothing that was given up is tried again."""
        return Dialect(max(self.format, proven.format), self.new_limit or proven.new_limit)


class DialectRefused(Unusable):
    """The provider refused the request; `weaker` may be understood."""

    def __init__(self, weaker: Dialect) -> None:
        super().__init__("provider_refused_format", "the provider does not understand the format of the request")
        self.weaker = weaker
