"""A script for the tests: supervises two children until a signal comes.

supervise.py BEHAVIOUR BEHAVIOUR
"""

import asyncio
import os
import sys
from pathlib import Path

from roadmap.embedded.output import prefix_lines
from roadmap.embedded.supervisor import Supervisor

CHILD = str(Path(__file__).with_name("children.py"))


async def main(behaviours: list[str]) -> int:
    commands = {behaviour: [sys.executable, CHILD, behaviour] for behaviour in behaviours}
    async with Supervisor(commands, os.environ, show=prefix_lines(behaviours), grace=0.3) as supervisor:
        if await supervisor.ready(20):
            print("all ready", flush=True)
        return await supervisor.wait()


sys.exit(asyncio.run(main(sys.argv[1:])))
