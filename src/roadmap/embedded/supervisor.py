"""Runs the processes of a Procfile on one machine, for `roadmap dev` and `roadmap demo`."""

import asyncio
import shlex
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import structlog

from roadmap.embedded.output import Show
from roadmap.embedded.process import Launch, end, spawn
from roadmap.errors import Misconfigured

__all__ = ["Supervisor", "parse_procfile"]

log = structlog.get_logger()

MISCONFIGURED = 2
READY_WORDS = ("web_ready", "worker_ready")
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
# A child that lived this long has started well: its next restart is quick again. Seconds.
_STEADY = 10.0
_LONGEST_LINE = 1_000_000
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def parse_procfile(text: str) -> dict[str, list[str]]:
    """Name → arguments, in the file's order. No shell is involved, so an `exec` for one is left out.

    Raises Misconfigured for a line of another form.
    """
    lines = enumerate(text.splitlines(), start=1)
    return dict(_parse_line(n, line) for n, line in lines if line.strip() and not line.lstrip().startswith("#"))


def _parse_line(number: int, line: str) -> tuple[str, list[str]]:
    name, _, command = line.partition(":")
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    words = words[1:] if words[:1] == ["exec"] else words
    if not name.strip() or not words:
        raise Misconfigured(f"Procfile, line {number}: expected `name: command`")
    return name.strip(), words


class Supervisor:
    """Keeps each command running from the block's begin to its end.

    A child that dies is started again, later each time; one that exits with code 2 (misconfigured) is not: it ends
    everything with that code. SIGTERM and SIGINT end everything with 0. Children get SIGTERM, and after `grace`
    seconds SIGKILL; when we are killed, they get SIGTERM from the kernel. `own`: variables of one child, by its name.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        environment: Mapping[str, str],
        *,
        show: Show,
        own: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        grace: float = 30.0,
    ) -> None:
        # The commands of the environment that we run in come first, activated or not.
        path = f"{Path(sys.executable).parent}:{environment.get('PATH', '/usr/local/bin:/usr/bin:/bin')}"
        # Unbuffered: lines are shown when they are written.
        self._environment = {**environment, "PATH": path, "PYTHONUNBUFFERED": "1"}
        self._own = own
        self._commands = {name: tuple(command) for name, command in commands.items()}
        self._show = show
        self._grace = grace
        self._ready = {name: asyncio.Event() for name in commands}
        self._ending = asyncio.Event()
        self._code = 0
        self._handlers: dict[signal.Signals, Any] = {}
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for number in _SIGNALS:
            self._handlers[number] = signal.getsignal(number)
            asyncio.get_running_loop().add_signal_handler(number, self.end)
        self._keepers = [asyncio.create_task(self._keep(name), name=name) for name in self._commands]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Returns when every child has ended, at most `grace` seconds and a moment later."""
        self.end()
        try:
            outcomes = await asyncio.gather(*self._keepers, return_exceptions=True)
        finally:
            self._restore_handlers()
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    def end(self, code: int = 0) -> None:
        """Asks for the end; the first code counts."""
        if not self._ending.is_set():
            self._code = code
            self._ending.set()

    async def wait(self) -> int:
        """Waits until the end was asked for, by a signal or by a misconfigured child: the exit code for our process."""
        await self._ending.wait()
        return self._code

    async def ready(self, timeout: float) -> bool:
        """Whether every child printed a ready word within `timeout` seconds, and nobody asked for the end before."""
        waiting = asyncio.gather(*(event.wait() for event in self._ready.values()))
        return await _before(waiting, self._ending.wait(), timeout)

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, handler)

    async def _keep(self, name: str) -> None:
        pause = _FIRST_PAUSE
        try:
            while not self._ending.is_set():
                began = time.monotonic()
                code = await self._run(name)
                if code == MISCONFIGURED:
                    self.end(MISCONFIGURED)
                if self._ending.is_set():
                    return
                pause = _FIRST_PAUSE if time.monotonic() - began > _STEADY else pause
                log.warning("process_died", name=name, code=code, restart_in=pause)
                await self._sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            # A fault of ours must not leave the others running unwatched.
            self.end(1)

    async def _run(self, name: str) -> int:
        """One life of a child, to its exit code."""
        launch = Launch(self._commands[name], Path.cwd(), environment={**self._environment, **self._own.get(name, {})})
        process = await spawn(launch, PIPE)
        ending = asyncio.create_task(self._end_with_us(process))
        try:
            async for line in _lines(process.stdout):
                self._show(name, line)
                if any(word in line for word in READY_WORDS):
                    self._ready[name].set()
            return await process.wait()
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)
            await end(process, signal.SIGKILL, 1.0)

    async def _end_with_us(self, process: Process) -> None:
        await self._ending.wait()
        await end(process, signal.SIGTERM, self._grace)

    async def _sleep(self, pause: float) -> None:
        try:
            await asyncio.wait_for(self._ending.wait(), pause)
        except TimeoutError:
            return


async def _before(first: Awaitable[object], second: Awaitable[object], timeout: float | None = None) -> bool:
    """Whether `first` was over when one of the two was over, or the time (seconds); cancels what is left."""
    one, other = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        await asyncio.wait([one, other], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return one.done()
    finally:
        one.cancel()
        other.cancel()
        await asyncio.gather(one, other, return_exceptions=True)


async def _lines(stream: asyncio.StreamReader | None) -> AsyncIterator[str]:
    """Lines of any length; what exceeds a million bytes comes in pieces."""
    if stream is None:
        return
    rest = b""
    while chunk := await stream.read(65_536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
        if len(rest) > _LONGEST_LINE:
            yield rest.decode(errors="replace")
            rest = b""
    if rest:
        yield rest.decode(errors="replace")
