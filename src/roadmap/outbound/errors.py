"""How asking for a stranger's address ends badly.

RoadmapError
├── Denied            the guard does not let us ask
└── Unreached         we asked and got no answer, which says nothing about the page
    └── NoSuchName    but this does: the host's name does not exist
"""

from roadmap.errors import RoadmapError

__all__ = ["Denied", "NoSuchName", "Unreached"]


class Denied(RoadmapError):
    """The address must not be asked for. No connection was made to it."""


class Unreached(RoadmapError):
    """No answer came in time, or none that could be read."""


class NoSuchName(Unreached):
    """Somebody who knows other names says that there is none such."""
