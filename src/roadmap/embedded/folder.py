"""A server's folder: locked while a server works in it, and remembering the port."""

import asyncio
import fcntl
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from roadmap.embedded.process import ServerProcess, Stopped
from roadmap.errors import Misconfigured

__all__ = ["FolderLock", "lock_folder", "serve_on_a_port"]

_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class FolderLock:
    """Two locks that vanish with their holders: `owner` is ours alone, `server` is passed on to the server too."""

    owner: IO[bytes]
    server: IO[bytes]

    def close(self) -> None:
        self.server.close()
        self.owner.close()


async def lock_folder(folder: Path, patience: float = 20.0) -> FolderLock:
    """Raises Misconfigured at once while somebody else serves the folder.

    The server of an owner that was killed takes a moment to end: it gets `patience` seconds.
    """
    lock = _open_locks(folder)
    try:
        _take(lock.owner, folder)
        async with asyncio.timeout(patience):
            while not _try_lock(lock.server):  # noqa: ASYNC110 - the other holder is another process
                await asyncio.sleep(0.02)
    except TimeoutError as exc:
        lock.close()
        raise Misconfigured(f"an old server in {folder} does not end; stop it") from exc
    except BaseException:
        lock.close()
        raise
    return lock


def _open_locks(folder: Path) -> FolderLock:
    folder.mkdir(parents=True, exist_ok=True)
    return FolderLock((folder / "owner.lock").open("ab"), (folder / "server.lock").open("ab"))


def _take(owner: IO[bytes], folder: Path) -> None:
    if not _try_lock(owner):
        raise Misconfigured(f"another server is running in {folder}; stop it, or choose another folder")


def _try_lock(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def serve_on_a_port(
    folder: Path, wanted: int, serve: Callable[[int], Awaitable[ServerProcess]]
) -> tuple[int, ServerProcess]:
    """Serves on `wanted`; for 0 on the port of the last time, or else on a free one.

    Raises Misconfigured when `wanted` is taken, or when the server ends for another reason.
    """
    for _ in range(_ATTEMPTS):
        port = _choose_port(folder / "port", wanted)
        try:
            server = await serve(port)
        except Stopped as exc:
            # Between our look and its start, another process may have taken the port.
            if _is_free(port):
                raise Misconfigured(str(exc)) from exc
            continue
        (folder / "port").write_text(str(port))
        return port, server
    raise Misconfigured(f"no free port for the server in {folder}")


def _choose_port(memory: Path, wanted: int) -> int:
    if wanted:
        if not _is_free(wanted):
            raise Misconfigured(f"port {wanted} is taken")
        return wanted
    remembered = memory.read_text().strip() if memory.exists() else ""
    if remembered.isdigit() and _is_free(int(remembered)):
        return int(remembered)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except (OSError, OverflowError):
        return False
