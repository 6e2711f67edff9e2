"""A view of the monitor: where it is, what it reads, which template shows it, and the frame around it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import urlencode

from roadmap.database import Database
from roadmap.monitor.looks import Looks
from roadmap.monitor.service.failures import list_failures
from roadmap.queue.client import Queue
from roadmap.web.pages.notices import Notice

__all__ = ["LIVE", "Ask", "Frame", "Section", "Seen", "Tools", "View", "look"]

LIVE = "/monitor/live"


@dataclass(frozen=True, slots=True)
class Tools:
    """What views read with. `looks` spares the database those who watch the same."""

    db: Database
    queue: Queue
    looks: Looks


@dataclass(frozen=True, slots=True)
class Ask:
    """What of a view is wanted: its path, the ids in that, and the query's parameters."""

    path: str
    ids: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def address(self) -> str:
        return self.path + (f"?{urlencode(self.query)}" if self.query else "")

    def after(self, cursor: str | None) -> str:
        """The same with its page after this cursor, for a link; None: the first page."""
        query = {name: value for name, value in self.query.items() if name != "after"}
        return "?" + urlencode(query | ({"after": cursor} if cursor else {}))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a view read. `values` are for its template; `crumbs` lead back, as pairs of name and path."""

    values: Mapping[str, Any]
    title: str = ""
    crumbs: tuple[tuple[str, str], ...] = ()


Read: TypeAlias = Callable[[Tools, Ask], Awaitable[Seen]]


@dataclass(frozen=True, slots=True)
class View:
    """`section` is the part of the navigation that it belongs to; `knows` are the query's parameters that it reads."""

    path: str
    title: str
    section: str
    template: str
    read: Read
    knows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    path: str


SECTIONS = (
    Section("overview", "/monitor"),
    *(
        Section(name, f"/monitor/{name}")
        for name in ("queues", "workers", "functions", "runs", "failures", "model", "system", "audit")
    ),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page shows around its own. `dead`: how many dead jobs nobody has dealt with; None: not known."""

    title: str
    section: str
    path: str
    now: datetime
    dead: int | None = None
    crumbs: tuple[tuple[str, str], ...] = ()
    live: str | None = None
    notices: tuple[Notice, ...] = ()
    sections: tuple[Section, ...] = field(default=SECTIONS)

    @property
    def full_title(self) -> str:
        tally = f"({self.dead}) " if self.dead else ""
        return f"{tally}{self.title} · Roadmap"


async def look(tools: Tools, view: View, ask: Ask, notices: tuple[Notice, ...] = ()) -> tuple[Frame, Mapping[str, Any]]:
    """The view as it is now. Raises what its reading raises: Outage, NotFound, Invalid."""
    seen = await view.read(tools, ask)
    failures = await list_failures(tools.db, tools.looks)
    frame = Frame(
        seen.title or view.title,
        view.section,
        ask.address,
        datetime.now(UTC),
        failures.dead_jobs,
        seen.crumbs,
        f"{LIVE}?{urlencode({'view': ask.address})}",
        notices,
    )
    return frame, seen.values
