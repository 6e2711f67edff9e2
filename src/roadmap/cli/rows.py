"""Rows on a terminal: in columns, or as JSON."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["print_rows", "readable"]

WIDEST = 60
# What moves a terminal's cursor, changes its colours or its title, or turns a line around. Tabs and line ends are none.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool = False) -> None:
    """As JSON they are whole."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    lines = [columns, *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def readable(text: str) -> str:
    """A stranger wrote it: on a terminal it is text, and nothing that the terminal obeys."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _cell(value: object) -> str:
    """On one line, whatever a message holds."""
    text = "-" if value is None else readable(" ".join(str(value).split()))
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
