"""A private Redis-compatible server on 127.0.0.1: Valkey from a wheel, or what is found on PATH."""

import asyncio
import signal
import time
from functools import partial
from pathlib import Path

import structlog

from roadmap.embedded.account import Account, find_home, make_private, server_account
from roadmap.embedded.folder import FolderLock, lock_folder, serve_on_a_port
from roadmap.embedded.process import Launch, ServerProcess
from roadmap.embedded.programs import redis_program

__all__ = ["RedisServer"]

log = structlog.get_logger()

_DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "3600 1", "--maxmemory-policy", "noeviction")
# A database number for each test.
_FLEETING = ("--appendonly", "no", "--save", "", "--databases", "1024")


class RedisServer:
    """Serves one folder. `program` is the server's path; without it, it is searched for.

    Start and stop belong to one event loop.
    """

    def __init__(self, folder: Path, *, port: int = 0, durable: bool = True, program: Path | None = None) -> None:
        self._folder = folder.absolute()
        self._wanted_port = port
        self._durable = durable
        self._program = program
        self._port = 0
        self._lock: FolderLock | None = None
        self._server: ServerProcess | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        """Raises RuntimeError when the server is not started."""
        if self._server is None:
            raise RuntimeError("Redis is not started")
        return self._server.pid

    async def start(self) -> None:
        """Raises Misconfigured: no server found, the folder in use, or the server's last words."""
        began = time.monotonic()
        self._lock = await lock_folder(self._folder)
        try:
            # Not as root either: a client of an old Redis may write files wherever the server may.
            account = server_account()
            home = find_home(self._folder, account, durable=self._durable)
            program = await asyncio.to_thread(redis_program, self._program, home, account)
            await self._serve(home / "data", program, account)
        except BaseException:
            self._unlock()
            raise
        log.info("redis_started", port=self._port, seconds=round(time.monotonic() - began, 2))

    async def stop(self) -> None:
        """Writes what is kept, and ends."""
        if self._server is not None:
            await self._server.stop(signal.SIGTERM)
        self._server = None
        self._unlock()

    async def _serve(self, files: Path, program: Path, account: Account | None) -> None:
        make_private(files, account)

        async def serve(port: int) -> ServerProcess:
            command = (str(program), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(files), *self._options())
            descriptors = (self._lock.server.fileno(),) if self._lock else ()
            launch = Launch(command, files, account=account, keep_open=descriptors)
            server = await ServerProcess.open(launch, self._folder / "server.log")
            try:
                await server.until(partial(_is_ready, port, server.pid), timeout=60)
            except BaseException:
                await server.stop(signal.SIGKILL)
                raise
            return server

        self._port, self._server = await serve_on_a_port(self._folder, self._wanted_port, serve)

    def _options(self) -> tuple[str, ...]:
        return _DURABLE if self._durable else _FLEETING

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
        self._lock = None


async def _is_ready(port: int, pid: int) -> bool:
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
