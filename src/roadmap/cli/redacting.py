"""What a command tells of a fault, without this process's secrets. Loaded only for one: settings take their time."""

from contextlib import suppress

from roadmap.errors import Misconfigured
from roadmap.redaction import Redactor
from roadmap.settings import read_settings

__all__ = ["redact"]


def redact(text: str) -> str:
    """Of settings that cannot be read nobody has got a secret; what looks like one goes all the same."""
    secrets: list[str] = []
    with suppress(Misconfigured):
        secrets = read_settings().secrets()
    return Redactor(secrets).text(text)
