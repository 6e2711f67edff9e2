"""podman and buildah, as far as the test of the image needs them; without a daemon, without systemd, as root."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

__all__ = ["Container", "Ended", "build", "command", "image_exists", "inspect", "run", "start"]

# runc: crun is not everywhere. Limits of our own: podman's cannot be set where root may not raise any. Health checks
# of podman are timers of systemd; the test runs the image's itself. The rest is compose.yaml's.
OPTIONS = (
    *("--network", "host", "--no-healthcheck", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"),
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    error: str
    seconds: float


async def command(*words: str, within: float = 60.0) -> Ended:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(within):
        out, error = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), error.decode(), time.monotonic() - began)


async def build(folder: str, image: str, **arguments: str) -> Ended:
    given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    # In Docker's format, for that of OCI knows no health check.
    words = ["buildah", "bud", "--isolation", "chroot", "--format", "docker", "--layers", *given, "--tag", image]
    return await command(*words, folder, within=900)


async def image_exists(image: str) -> bool:
    return (await command("podman", "image", "exists", image)).code == 0


async def inspect(image: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads((await command("podman", "image", "inspect", image)).out)
    return found[0]


async def run(image: str, *words: str, options: tuple[str, ...] = (), **environment: str) -> Ended:
    """To its end."""
    return await command(*_start("--rm", *options), *_variables(environment), image, *words)


async def start(name: str, image: str, *words: str, **environment: str) -> "Container":
    started = await command(*_start("--detach", "--name", name), *_variables(environment), image, *words)
    assert started.code == 0, started.error
    return Container(name)


@dataclass(frozen=True, slots=True)
class Container:
    name: str

    async def text(self) -> str:
        """What it has written."""
        told = await command("podman", "logs", self.name)
        return told.out + told.error

    async def execute(self, *words: str) -> Ended:
        return await command("podman", "--runtime", "runc", "exec", self.name, *words)

    async def stop(self) -> Ended:
        """SIGTERM, once; `out` is its exit code."""
        await command("podman", "kill", "--signal", "TERM", self.name)
        return await command("podman", "wait", self.name)

    async def remove(self) -> None:
        await command("podman", "rm", "--force", "--time", "0", self.name)


def _start(*words: str) -> tuple[str, ...]:
    return ("podman", "--runtime", "runc", "run", *words, *OPTIONS)


def _variables(environment: dict[str, str]) -> list[str]:
    return [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
