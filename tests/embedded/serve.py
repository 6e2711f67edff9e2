"""A script for the tests: serves both servers in a folder, prints their process ids and URLs, and waits for its end."""

import asyncio
import sys
from pathlib import Path

from roadmap.embedded.servers import local_servers


async def main(folder: Path) -> None:
    async with local_servers(folder, durable=False) as servers:
        print(servers.postgres.pid, servers.redis.pid, servers.database_url, servers.redis_url, flush=True)
        await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))
