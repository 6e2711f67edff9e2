"""A content worker as `roadmap content` is one, with a job function more: it blocks the loop when it first runs.

Its argument is a folder, in which it leaves a file each time that it runs.
"""

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from arq.worker import func

from roadmap.cli.services import configure, run
from roadmap.processes.serving import serve
from roadmap.processes.worker import role_of
from workers.content import WORK


async def block(_ctx: dict[str, Any], folder: str) -> None:
    await asyncio.sleep(0.5)  # the jobs that were taken with it begin
    before = len(list(Path(folder).iterdir()))
    (Path(folder) / str(before)).touch()
    if before == 0:
        time.sleep(600)


if __name__ == "__main__":
    work = replace(WORK, functions=[*WORK.functions, func(block, timeout=60)])
    sys.exit(run(serve(configure("content"), role_of(work))))
