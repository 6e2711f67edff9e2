"""Time-ordered ids: UUIDv7 inside, `prefix_` and 32 hex digits at the API."""

import os
import time
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from roadmap.errors import NotFound

__all__ = ["Prefix", "first_id", "new_id", "parse_id", "show_id"]


class Prefix(StrEnum):
    """What an id at the API names."""

    ROADMAP = "rm"
    STAGE = "stg"
    MODULE = "mod"
    CONCEPT = "cpt"
    RUN = "run"
    KEY = "key"
    USER = "usr"
    LOG_ENTRY = "log"
    DEAD_JOB = "dead"
    AUDIT = "audit"


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562, 5.7): 48 bits of Unix milliseconds, 12 of the part of a millisecond (6.2, method 3), so that
    the ids of one process stand in their order, and 62 random bits."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    part, noise = (rest << 12) // 1_000_000, int.from_bytes(os.urandom(8), "big")
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | part << 64 | 0b10 << 62
    return UUID(int=value | noise & 0x3FFF_FFFF_FFFF_FFFF)


def first_id(moment: datetime) -> UUID:
    """Not above any id that was made at this time or later, and above none that was made a millisecond earlier."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def show_id(prefix: Prefix, value: UUID) -> str:
    return f"{prefix}_{value.hex}"


def parse_id(prefix: Prefix, text: str) -> UUID:
    """The UUID behind an id at the API. Raises NotFound: an id of the wrong form names nothing."""
    kind, _, digits = text.partition("_")
    if kind != prefix or len(digits) != 32 or not set(digits) <= set("0123456789abcdef"):
        raise NotFound(f"no such {prefix.name.lower().replace('_', ' ')}")
    return UUID(hex=digits)
