"""A look at the process table, and waiting for what it shows."""

import asyncio
from collections.abc import Callable
from pathlib import Path


async def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    """A zombie, which only waits for its parent to notice, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
