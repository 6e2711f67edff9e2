"""Roadmap as it runs for its users: `roadmap web|content|logs` as real processes.

async with open_stack(folder, database_url, redis_url, LEASE="2") as stack:
    await stack.start("web", "content", "logs")
    async with api_client(stack.web_url, key) as client:
        ...
    await stack.kill("content")          # by SIGKILL
    await stack.start("content")
    assert await stack.terminate("logs") == 0
    stack["web"].pid, stack["web"].text(), await stack["web"].says("web_ready")
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from waiting import eventually

from roadmap.settings import Settings

__all__ = ["Child", "Stack", "api_client", "authorization", "finish", "open_stack"]

PROGRAM = Path(sys.executable).with_name("roadmap")
READY = {"web": "web_ready", "content": "worker_ready", "logs": "worker_ready"}
READY_WITHIN = 60.0
PIECE = 8_000


class Child:
    """One process of ours, what it has written so far, and the signals that it got (when by time.time(), which)."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, output: Path, environment: dict[str, str]
    ) -> None:
        self.name = name
        self.pid = process.pid
        self.environment = environment
        self.signals: list[tuple[float, signal.Signals]] = []
        self._process = process
        self._output = output

    @property
    def service(self) -> str:
        return self.name.partition(":")[0]

    @property
    def exit_code(self) -> int | None:
        """None: it runs."""
        return self._process.returncode

    def text(self) -> str:
        """Everything on stdout and stderr."""
        return self._output.read_text(errors="replace")

    def lines(self, message: str) -> list[dict[str, Any]]:
        """Its diagnostics of this name."""
        whole = [line for line in self._output.read_bytes().split(b"\n")[:-1] if line.startswith(b"{")]
        return [line for line in map(orjson.loads, whole) if line.get("message") == message]

    def notes(self, text: str) -> list[dict[str, Any]]:
        """What it noted in the execution log, with this text."""
        return [line for line in self.lines("noted") if line["text"] == text]

    async def says(self, message: str, *, within: float = READY_WITHIN) -> dict[str, Any]:
        """The first line of diagnostics of this name."""

        def look() -> list[dict[str, Any]]:
            found = self.lines(message)
            if not found and self._process.returncode is not None:
                pytest.fail(f"{self.name} ended with {self._process.returncode}: {self.text()[-PIECE:]}")
            return found

        found: list[dict[str, Any]] = await eventually(look, f"{self.name} says {message}", within=within)
        return found[0]

    def signal(self, number: signal.Signals) -> None:
        # Not send_signal: it looks for the end itself, and may take the exit code away from asyncio.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self.signals.append((time.time(), number))
                os.kill(self.pid, number)

    async def exits(self, *, within: float = 30.0) -> int:
        """Waits for its end; returns the exit code."""
        try:
            async with asyncio.timeout(within):
                return await self._process.wait()
        except TimeoutError:
            pytest.fail(f"{self.name} did not end within {within} s: {self.text()[-PIECE:]}")


class Stack:
    """The processes over one database and one Redis. Made by `open_stack`."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._children: dict[str, Child] = {}
        self.everyone: list[Child] = []  # also those that have ended, in the order of their start
        self._web_urls: dict[str, str] = {}
        self._started = 0

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    @property
    def web_url(self) -> str:
        return self._web_urls["web"]

    def url(self, name: str) -> str:
        """Of a `web` process that was given another name."""
        return self._web_urls[name]

    async def start(self, *names: str, **environment: str) -> None:
        """Starts services and waits until each is ready. `content`, or `content:second` for one more of them."""
        for name in names:
            await self.launch(name, **environment)
        for name in names:
            ready = await self[name].says(READY[name.partition(":")[0]])
            if "port" in ready:
                self._web_urls[name] = f"http://127.0.0.1:{ready['port']}"

    async def launch(self, name: str, *, command: Sequence[str] = (), **environment: str) -> Child:
        """Starts a process without waiting: for those that are not expected to get ready. `command` instead of ours."""
        self._started += 1
        output = self._folder / f"{name.replace(':', '-')}-{self._started}.log"
        with output.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                *(command or (str(PROGRAM), name.partition(":")[0])),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**self._environment, **environment},
            )
        child = self._children[name] = Child(name, process, output, {**self._environment, **environment})
        self.everyone.append(child)
        return child

    async def kill(self, name: str) -> None:
        self[name].signal(signal.SIGKILL)
        await self[name].exits()

    async def terminate(self, name: str, *, within: float = 30.0) -> int:
        """By SIGTERM; returns the exit code."""
        self[name].signal(signal.SIGTERM)
        return await self[name].exits(within=within)

    async def close(self) -> None:
        for child in self.everyone:
            child.signal(signal.SIGCONT)
            child.signal(signal.SIGKILL)
        for child in self.everyone:
            await child.exits()


@asynccontextmanager
async def open_stack(folder: Path, database_url: str, redis_url: str, **environment: str) -> AsyncIterator[Stack]:
    """A stack in which nothing runs yet; leaving it kills what does. `folder` gets the processes' output."""
    plain = {name: value for name, value in os.environ.items() if name not in _OUR_VARIABLES}
    ours = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PORT": "0", "HOST": "127.0.0.1"}
    stack = Stack(folder, plain | ours | environment)
    try:
        yield stack
    finally:
        await stack.close()


_OUR_VARIABLES = {name.upper() for name in Settings.model_fields} | {"OPENAI_API_KEY", "OPENAI_BASE_URL"}


@asynccontextmanager
async def api_client(url: str, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, headers=authorization(key), timeout=30, limits=limits) as client:
        yield client


async def finish(client: httpx.AsyncClient, roadmap_id: str, *, within: float = 60.0) -> dict[str, Any]:
    """Waits for the end of the roadmap's run; returns the roadmap."""

    async def look() -> dict[str, Any] | None:
        roadmap: dict[str, Any] = (await client.get(f"/v1/roadmaps/{roadmap_id}")).json()
        return roadmap if roadmap["run"]["finished_at"] else None

    roadmap: dict[str, Any] = await eventually(look, f"{roadmap_id} is finished", within=within)
    return roadmap


def authorization(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}
