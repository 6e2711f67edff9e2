"""A private PostgreSQL server on 127.0.0.1, from a wheel or from what the machine has."""

import asyncio
import os
import shutil
import signal
import time
from asyncio.subprocess import DEVNULL
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

import structlog

from roadmap.embedded.account import Account, find_home, make_private, server_account
from roadmap.embedded.folder import FolderLock, lock_folder, serve_on_a_port
from roadmap.embedded.process import Launch, ServerProcess
from roadmap.embedded.programs import postgres_programs
from roadmap.errors import Misconfigured

__all__ = ["PostgresServer"]

log = structlog.get_logger()

_STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# No TCP beyond this machine, no sockets in shared folders.
_ALWAYS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200", "log_timezone=UTC")
_FLEETING = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresServer:
    """Serves one folder. `programs` is a folder with `postgres` and `initdb`; without it they are searched for.

    The database `roadmap` is made at the first start and kept. Start and stop belong to one event loop.
    """

    def __init__(self, folder: Path, *, port: int = 0, durable: bool = True, programs: Path | None = None) -> None:
        self._folder = folder.absolute()
        self._wanted_port = port
        self._durable = durable
        self._programs = programs
        self._port = 0
        self._lock: FolderLock | None = None
        self._server: ServerProcess | None = None

    @property
    def url(self) -> str:
        return f"postgresql://roadmap@127.0.0.1:{self._port}/roadmap"

    @property
    def pid(self) -> int:
        """Raises RuntimeError when the server is not started."""
        if self._server is None:
            raise RuntimeError("PostgreSQL is not started")
        return self._server.pid

    async def start(self) -> None:
        """Raises Misconfigured: no PostgreSQL found, the folder in use, or the server's last words."""
        began = time.monotonic()
        self._lock = await lock_folder(self._folder)
        try:
            account = server_account()
            home = find_home(self._folder, account, durable=self._durable)
            programs = await asyncio.to_thread(postgres_programs, self._programs, home, account)
            await self._serve(home / "data", programs, account)
        except BaseException:
            self._unlock()
            raise
        log.info("postgres_started", port=self._port, seconds=round(time.monotonic() - began, 2))

    async def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """`fast` ends every session and writes a checkpoint; `immediate` leaves the recovery to the next start."""
        if self._server is not None:
            await self._server.stop(_STOP_SIGNALS[mode])
        self._server = None
        self._unlock()

    async def _serve(self, files: Path, programs: Path, account: Account | None) -> None:
        if not (files / "PG_VERSION").exists():
            await self._create(files, programs, account)
        _forget_dead_server(files)

        async def serve(port: int) -> ServerProcess:
            command = (str(programs / "postgres"), "-D", str(files), "-p", str(port), *self._options())
            server = await self._open(command, files, account)
            try:
                await server.until(partial(_is_ready, files, server.pid), timeout=60)
            except BaseException:
                await server.stop(signal.SIGQUIT)
                raise
            return server

        self._port, self._server = await serve_on_a_port(self._folder, self._wanted_port, serve)

    async def _create(self, files: Path, programs: Path, account: Account | None) -> None:
        """Makes the cluster and its database beside their place, so that a half-made one is never taken for whole."""
        unfinished = files.with_name("data.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        make_private(unfinished, account)
        # Without its syncs: an empty cluster is quickly made again.
        locale = ("-E", "UTF8", "--locale", "C.UTF-8" if os.uname().sysname == "Linux" else "C")
        haste = ("--no-sync", "--no-instructions")
        initdb = (str(programs / "initdb"), "-D", str(unfinished), "-U", "roadmap", "-A", "trust", *locale, *haste)
        await (await self._open(initdb, unfinished, account)).finish(timeout=120)
        await self._create_database(unfinished, programs, account)
        unfinished.rename(files)

    async def _create_database(self, files: Path, programs: Path, account: Account | None) -> None:
        """By the single-user mode, which needs no port, no waiting and no driver."""
        options = ("--single", "-F", "-c", "exit_on_error=on", "-D", str(files))
        single = (str(programs / "postgres"), *options, "postgres")
        with TemporaryFile() as statement:
            statement.write(b"CREATE DATABASE roadmap\n")
            statement.seek(0)
            await (await self._open(single, files, account, stdin=statement.fileno())).finish(timeout=60)

    async def _open(
        self, command: tuple[str, ...], cwd: Path, account: Account | None, *, stdin: int = DEVNULL
    ) -> ServerProcess:
        descriptors = (self._lock.server.fileno(),) if self._lock else ()
        launch = Launch(command, cwd, signal.SIGINT, account=account, stdin=stdin, keep_open=descriptors)
        return await ServerProcess.open(launch, self._folder / "server.log")

    def _options(self) -> list[str]:
        settings = _ALWAYS if self._durable else _ALWAYS + _FLEETING
        return [word for setting in settings for word in ("-c", setting)]

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
        self._lock = None


def _forget_dead_server(files: Path) -> None:
    """Removes the postmaster.pid of a killed server: its number may meanwhile be that of another process.

    The folder's lock says that no server of ours runs here; a server that somebody started by hand has it as its cwd.
    Raises Misconfigured for the latter.
    """
    pid_file = files / "postmaster.pid"
    if not pid_file.exists() or os.uname().sysname != "Linux":
        return
    pid = pid_file.read_text().partition("\n")[0]
    if _cwd(pid) == files.resolve():
        raise Misconfigured(f"a PostgreSQL server (process {pid}) is running in {files}; stop it first")
    pid_file.unlink()


def _cwd(pid: str) -> Path | None:
    try:
        return Path("/proc", pid, "cwd").readlink()
    except OSError:
        return None


async def _is_ready(files: Path, pid: int) -> bool:
    """As pg_ctl looks: line 1 of postmaster.pid is the process, line 8 the state."""
    try:
        lines = (files / "postmaster.pid").read_text().split("\n")
    except OSError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"
