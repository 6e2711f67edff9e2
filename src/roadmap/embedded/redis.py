"""A private Redis-compatible server on 127.0.0.1: Valkey from a wheel, or what is found on PATH."""

import asyncio
import signal
from pathlib import Path

from roadmap.embedded.account import Account, make_private
from roadmap.embedded.programs import redis_program
from roadmap.embedded.server import LocalServer, Site

__all__ = ["RedisServer"]

_DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "3600 1", "--maxmemory-policy", "noeviction")
# A database number for each test.
_FLEETING = ("--appendonly", "no", "--save", "", "--databases", "1024")


class RedisServer(LocalServer):
    """Serves one folder. `program` is the server's path; without it, it is searched for."""

    _name = "Redis"
    _started = "redis_started"
    _orderly = signal.SIGTERM
    _abrupt = signal.SIGKILL

    def __init__(self, folder: Path, *, port: int = 0, durable: bool = True, program: Path | None = None) -> None:
        super().__init__(folder, port=port, durable=durable)
        self._program = program

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    async def stop(self) -> None:
        """Writes what is kept, and ends."""
        await self._end(self._orderly)

    def _find_programs(self, home: Path, account: Account | None) -> Path:
        return redis_program(self._program, home, account)

    async def _prepare(self, site: Site) -> None:
        make_private(site.files, site.account)

    def _command(self, site: Site, port: int) -> tuple[str, ...]:
        place = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(site.files))
        return str(site.programs), *place, *(_DURABLE if self._durable else _FLEETING)

    async def _is_ready(self, _site: Site, port: int, pid: int) -> bool:
        """Asks for the process id, because a stranger may answer on the port."""
        answer = await _ask(port)
        return f"process_id:{pid}\r\n".encode() in answer and b"loading:0\r\n" in answer


async def _ask(port: int) -> bytes:
    """What INFO says, or nothing."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"INFO\r\nQUIT\r\n")
                return await reader.read()
            finally:
                writer.close()
    except OSError:
        return b""
