"""A private PostgreSQL server on 127.0.0.1, from a wheel or from what the machine has."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

from roadmap.embedded.account import Account, make_private
from roadmap.embedded.programs import postgres_programs
from roadmap.embedded.server import LocalServer, Site
from roadmap.errors import Misconfigured

__all__ = ["PostgresServer"]

# No TCP beyond this machine, no sockets in shared folders.
_ALWAYS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200", "log_timezone=UTC")
_FLEETING = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresServer(LocalServer):
    """Serves one folder. `programs` is a folder with `postgres` and `initdb`; without it they are searched for.

    The database `roadmap` is made at the first start and kept.
    """

    _name = "PostgreSQL"
    _started = "postgres_started"
    _orderly = signal.SIGINT
    _abrupt = signal.SIGQUIT

    def __init__(self, folder: Path, *, port: int = 0, durable: bool = True, programs: Path | None = None) -> None:
        super().__init__(folder, port=port, durable=durable)
        self._programs = programs

    @property
    def url(self) -> str:
        return f"postgresql://roadmap@127.0.0.1:{self._port}/roadmap"

    async def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """`fast` ends every session and writes a checkpoint; `immediate` leaves the recovery to the next start."""
        await self._end(self._orderly if mode == "fast" else self._abrupt)

    def _find_programs(self, home: Path, account: Account | None) -> Path:
        return postgres_programs(self._programs, home, account)

    async def _prepare(self, site: Site) -> None:
        if not (site.files / "PG_VERSION").exists():
            await self._create(site)
        _forget_dead_server(site.files)

    async def _create(self, site: Site) -> None:
        """Makes the cluster and its database beside their place, so that a half-made one is never taken for whole."""
        unfinished = replace(site, files=site.files.with_name("data.new"))
        shutil.rmtree(unfinished.files, ignore_errors=True)
        make_private(unfinished.files, site.account)
        await self._create_cluster(unfinished)
        await self._create_database(unfinished)
        unfinished.files.rename(site.files)

    async def _create_cluster(self, site: Site) -> None:
        """Without initdb's syncs: an empty cluster is quickly made again."""
        locale = ("-E", "UTF8", "--locale", "C.UTF-8" if os.uname().sysname == "Linux" else "C")
        options = ("-U", "roadmap", "-A", "trust", *locale, "--no-sync", "--no-instructions")
        initdb = (str(site.programs / "initdb"), "-D", str(site.files), *options)
        await (await self._open(initdb, site)).finish(timeout=120)

    async def _create_database(self, site: Site) -> None:
        """By the single-user mode, which needs no port, no waiting and no driver."""
        options = ("--single", "-F", "-c", "exit_on_error=on", "-D", str(site.files))
        single = (str(site.programs / "postgres"), *options, "postgres")
        with TemporaryFile() as statement:
            statement.write(b"CREATE DATABASE roadmap\n")
            statement.seek(0)
            await (await self._open(single, site, stdin=statement.fileno())).finish(timeout=60)

    def _command(self, site: Site, port: int) -> tuple[str, ...]:
        settings = _ALWAYS if self._durable else _ALWAYS + _FLEETING
        options = (word for setting in settings for word in ("-c", setting))
        return str(site.programs / "postgres"), "-D", str(site.files), "-p", str(port), *options

    async def _is_ready(self, site: Site, _port: int, pid: int) -> bool:
        """As pg_ctl looks: line 1 of postmaster.pid is the process, line 8 the state."""
        try:
            lines = (site.files / "postmaster.pid").read_text().split("\n")
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


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
