"""Where the lines of supervised processes go: to the terminal with the process's name, or to a file per process."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

__all__ = ["Show", "prefix_lines", "write_files"]

# Takes the process's name and one line of its output, without the line's end.
Show = Callable[[str, str], None]

_COLOURS = (36, 33, 32, 35, 34, 31)
_RESET = "\033[0m"


def prefix_lines(names: Sequence[str], stream: TextIO | None = None) -> Show:
    """Writes `name | line` to `stream` (stdout), coloured when that is a terminal."""
    target = stream or sys.stdout
    width = max(map(len, names), default=0)
    colours = {name: f"\033[{_COLOURS[n % len(_COLOURS)]}m" for n, name in enumerate(names)}

    def show(name: str, line: str) -> None:
        prefix = f"{name:<{width}} | "
        coloured = f"{colours[name]}{prefix}{_RESET}" if target.isatty() else prefix
        target.write(f"{coloured}{line}\n")
        target.flush()

    return show


@contextmanager
def write_files(folder: Path, names: Sequence[str]) -> Iterator[Show]:
    """Writes `folder/name.log` for each process, anew. The files are closed when the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / f"{name}.log").open("w", buffering=1)) for name in names}

        def show(name: str, line: str) -> None:
            files[name].write(f"{line}\n")

        yield show
