"""Child processes that die with us, also after a kill -9 of us."""

import asyncio
import os
import signal
import sys
import threading
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from roadmap.embedded.account import Account
from roadmap.errors import Misconfigured

__all__ = ["Launch", "ServerProcess", "Stopped", "end", "spawn"]

_GUARD = Path(__file__).with_name("guard.py")
# Nothing of our own environment (PGDATA, LC_ALL…) may change a server. A known TZ spares initdb a search of its table.
_BARE_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "UTC"}
_LONGEST_OUTPUT = 10_000_000


class Stopped(Exception):
    """The server ended before it was ready; the text is the end of its output."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start, where, and as whom.

    `dies_by` is the signal that it gets when we die; `keep_open` are descriptors that it inherits.
    """

    command: tuple[str, ...]
    cwd: Path
    dies_by: signal.Signals = signal.SIGTERM
    environment: Mapping[str, str] = field(default_factory=_BARE_ENVIRONMENT.copy)
    account: Account | None = None
    stdin: int = DEVNULL
    keep_open: tuple[int, ...] = ()


async def spawn(launch: Launch, output: int) -> Process:
    """Starts a child; stdout and stderr both go to `output` (a descriptor, or PIPE).

    Call it from the main thread: Linux ties the child to the *thread* that forked it.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("start children from the main thread: they die with the thread that started them")
    account = launch.account or Account(-1, -1)
    tie = (os.getpid(), int(launch.dies_by), account.uid, account.gid)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(_GUARD), *map(str, tie), *launch.command),
        cwd=launch.cwd,
        env=dict(launch.environment),
        stdin=launch.stdin,
        stdout=output,
        stderr=STDOUT,
        pass_fds=launch.keep_open,
    )


async def end(process: Process, by: signal.Signals, grace: float) -> None:
    """Signals and waits `grace` seconds, then kills what is left of its process group. Also when we are cancelled."""
    try:
        if process.returncode is None:
            _signal(process, by)
        await asyncio.wait_for(process.wait(), timeout=grace)
    except TimeoutError:
        pass
    finally:
        _kill_group(process)
        await process.wait()


def _signal(process: Process, by: signal.Signals) -> None:
    try:
        process.send_signal(by)
    except ProcessLookupError:
        return


def _kill_group(process: Process) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        # All gone, or not yet far enough to have made its group.
        _signal(process, signal.SIGKILL)


class ServerProcess:
    """One running server, with its output in a file."""

    def __init__(self, process: Process, log_file: Path) -> None:
        self._process = process
        self._log_file = log_file

    @classmethod
    async def open(cls, launch: Launch, log_file: Path) -> "ServerProcess":
        with _open_output(log_file) as output:
            return cls(await spawn(launch, output.fileno()), log_file)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def until(self, ready: Callable[[], Awaitable[bool]], timeout: float) -> None:
        """Looks every 10 ms. Raises Stopped when the server ends first, Misconfigured after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not await ready():
                    self._check_alive()
                    await asyncio.sleep(0.01)
        except TimeoutError as exc:
            raise Misconfigured(f"the server was not ready in {timeout:.0f} s\n{self._last_words()}") from exc

    async def finish(self, timeout: float) -> None:
        """Waits for a program that ends by itself. Raises Misconfigured when it fails or takes too long."""
        try:
            code = await asyncio.wait_for(self._process.wait(), timeout)
        except TimeoutError:
            code = None
        finally:
            await self.stop(signal.SIGKILL)
        if code != 0:
            raise Misconfigured(self._last_words())

    async def stop(self, by: signal.Signals, grace: float = 15.0) -> None:
        await end(self._process, by, grace)

    def _check_alive(self) -> None:
        if not self.alive:
            raise Stopped(self._last_words())

    def _last_words(self) -> str:
        text = self._log_file.read_text(errors="replace")[-4000:]
        return "\n".join([*text.splitlines()[-12:], f"(all of it in {self._log_file})"])


def _open_output(log_file: Path) -> IO[bytes]:
    too_long = log_file.exists() and log_file.stat().st_size > _LONGEST_OUTPUT
    return log_file.open("wb" if too_long else "ab")
