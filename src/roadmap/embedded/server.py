"""What the servers have in common: a locked folder, the port that it remembers, and the process that serves it."""

import asyncio
import signal
import time
from abc import ABC, abstractmethod
from asyncio.subprocess import DEVNULL
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import structlog

from roadmap.embedded.account import Account, find_home, server_account
from roadmap.embedded.folder import FolderLock, lock_folder, serve_on_a_port
from roadmap.embedded.process import Launch, ServerProcess

__all__ = ["LocalServer", "Site"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Site:
    """Where a server keeps its files, what it is started from (a program, or a folder of them), and as whom."""

    files: Path
    programs: Path
    account: Account | None


class LocalServer(ABC):
    """Owns a folder's lock and the process that serves it on 127.0.0.1: on `port`, or for 0 on that of the last time.

    A kind of server says where its programs are, what it needs beforehand, its command, and when it is ready.
    Start and stop belong to one event loop.
    """

    _name: ClassVar[str]
    _started: ClassVar[str]  # the event
    # The first ends it in order, also when we die; the second when it does not get ready.
    _orderly: ClassVar[signal.Signals]
    _abrupt: ClassVar[signal.Signals]

    def __init__(self, folder: Path, *, port: int, durable: bool) -> None:
        self._folder = folder.absolute()
        self._wanted_port = port
        self._durable = durable
        self._port = 0
        self._lock: FolderLock | None = None
        self._process: ServerProcess | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    def pid(self) -> int:
        """Raises RuntimeError when the server is not started."""
        if self._process is None:
            raise RuntimeError(f"{self._name} is not started")
        return self._process.pid

    async def start(self) -> None:
        """Raises Misconfigured: no program found, the folder in use, or the server's last words."""
        began = time.monotonic()
        self._lock = await lock_folder(self._folder)
        try:
            site = await self._find_site()
            await self._prepare(site)
            serve = partial(self._serve, site)
            self._port, self._process = await serve_on_a_port(self._folder, self._wanted_port, serve)
        except BaseException:
            self._unlock()
            raise
        log.info(self._started, port=self._port, seconds=round(time.monotonic() - began, 2))

    async def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            await self._process.stop(by)
        self._process = None
        self._unlock()

    async def _find_site(self) -> Site:
        # Never as root: PostgreSQL refuses, and a client of an old Redis may write files wherever the server may.
        account = server_account()
        home = find_home(self._folder, account, durable=self._durable)
        programs = await asyncio.to_thread(self._find_programs, home, account)
        return Site(home / "data", programs, account)

    @abstractmethod
    def _find_programs(self, home: Path, account: Account | None) -> Path:
        """Raises Misconfigured when there are none. Runs in a thread: it may copy them."""

    @abstractmethod
    async def _prepare(self, site: Site) -> None:
        """Makes what the server does not make itself, before each start."""

    @abstractmethod
    def _command(self, site: Site, port: int) -> tuple[str, ...]: ...

    @abstractmethod
    async def _is_ready(self, site: Site, port: int, pid: int) -> bool: ...

    async def _serve(self, site: Site, port: int) -> ServerProcess:
        process = await self._open(self._command(site, port), site)
        try:
            await process.until(partial(self._is_ready, site, port, process.pid), timeout=60)
        except BaseException:
            await process.stop(self._abrupt)
            raise
        return process

    async def _open(self, command: tuple[str, ...], site: Site, *, stdin: int = DEVNULL) -> ServerProcess:
        descriptors = (self._lock.server.fileno(),) if self._lock else ()
        launch = Launch(command, site.files, self._orderly, account=site.account, stdin=stdin, keep_open=descriptors)
        return await ServerProcess.open(launch, self._folder / "server.log")

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
        self._lock = None
