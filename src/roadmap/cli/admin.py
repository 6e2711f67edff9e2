"""`roadmap migrate`."""

import asyncio
from argparse import Namespace

from roadmap import migrate as migrations
from roadmap.runtime import require_database
from roadmap.settings import read_settings

__all__ = ["migrate"]


def migrate(arguments: Namespace) -> int:
    settings = read_settings()
    require_database(settings)
    url = settings.database_unpooled_url.get_secret_value() or settings.database_url.get_secret_value()
    return asyncio.run(_migrate(url, arguments))


async def _migrate(url: str, arguments: Namespace) -> int:
    if arguments.status:
        status = await migrations.status(url)
        for line in status.applied:
            print(f"applied  {line.name}  {line.applied_at:%Y-%m-%d %H:%M:%S}Z")
        for missing in status.pending:
            print(f"missing  {missing.name}")
        return 1 if status.pending else 0
    if arguments.dry_run:
        print(await migrations.dry_run(url) or "-- nothing to do")
        return 0
    for name in await migrations.migrate(url):
        print(f"applied {name}")
    return 0
