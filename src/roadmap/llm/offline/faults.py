"""Provider faults on demand, for tests and benchmarks: which call fails, and how, follows from a seed."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from roadmap.errors import Misconfigured

__all__ = ["Faults", "Mode"]


class Mode(StrEnum):
    TOO_MANY = "429"
    """With Retry-After: 1."""
    BROKEN = "500"
    STALL = "stall"
    """No answer until the client gives up, 10 minutes at most."""
    GARBAGE = "garbage"
    """Status 200 with something that cannot be used."""
    TRUNCATION = "truncation"
    """Half an answer, finish_reason `length`."""
    RESET = "reset"
    """The connection breaks in the middle of the body."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The share of calls, 0 to 1, that each mode strikes. Raises Misconfigured for shares that are none."""

    rates: Mapping[Mode, float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if any(not 0 <= rate <= 1 for rate in self.rates.values()) or sum(self.rates.values()) > 1:
            raise Misconfigured("the rates of faults must lie between 0 and 1, and so must their sum")

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """From "429=0.05,500=0.01"; empty text is no faults. Raises Misconfigured."""
        rates: dict[Mode, float] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            mode, _, rate = part.partition("=")
            try:
                rates[Mode(mode.strip())] = float(rate)
            except ValueError as exc:
                known = ", ".join(Mode)
                raise Misconfigured(f"“{part}” is no fault: write mode=share, the modes are {known}") from exc
        return cls(MappingProxyType(rates))

    def draw(self, seed: int, call: int) -> Mode | None:
        """What happens to the call with this number; None: it is answered."""
        if not self.rates:
            return None
        left = random.Random(f"{seed}:{call}").random()  # noqa: S311
        for mode, rate in self.rates.items():
            left -= rate
            if left < 0:
                return mode
        return None
