"""Rows on a terminal: in columns, or as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["print_rows"]

WIDEST = 60


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool = False) -> None:
    """As JSON they are whole."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    lines = [columns, *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    """On one line, whatever a message holds."""
    text = "-" if value is None else " ".join(str(value).split())
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
