"""How long roadmaps take from the POST to the end, and what they cost.

    python bench/roadmaps.py [LATENCY_MS] [COUNT…]

Real processes (web, content, logs, and the offline model over HTTP) over servers of their own. Prints Markdown. The
critical path is what no machine could beat: the model's latency times the calls that wait for each other.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from roadmap.embedded.servers import local_servers
from roadmap.migrate import migrate

PROGRAM = Path(sys.executable).with_name("roadmap")
GOAL = "Learn SQL in six weeks, 5 hours a week"
AFTER_THE_PLAN = 2  # the tutorial, and the quiz about it
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Service:
    name: str
    process: asyncio.subprocess.Process
    log: Path

    def cpu(self) -> float:
        """Seconds of the processor since its start, from /proc."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    async def says(self, words: bytes) -> bytes:
        """The line that holds the words."""
        async with asyncio.timeout(60):
            while True:
                for line in self.log.read_bytes().splitlines():
                    if words in line:
                        return line
                await asyncio.sleep(0.02)


async def launch(folder: Path, name: str, *arguments: str, **environment: str) -> Service:
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            PROGRAM, *arguments, stdout=output, stderr=output, env={**os.environ, **environment}
        )
    return Service(name, process, log)


@asynccontextmanager
async def stack(folder: Path, latency_ms: int) -> AsyncIterator[tuple[str, list[Service]]]:
    """The URL of the API, and the four processes."""
    services = [await launch(folder, "model", "offline-model", "--port", "0", "--latency-ms", str(latency_ms))]
    try:
        async with local_servers(folder / "servers") as servers:
            await migrate(servers.database_url)
            url = (await services[0].says(b"http://")).decode().split()[-1]
            ours = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url, "AUTH_MODE": "none"}
            ours |= {"LLM_BASE_URL": url, "VERIFY_LINKS": "off", "PORT": "0", "HOST": "127.0.0.1"}
            ours |= {"LEARNER_BACKLOG": "0"}
            services += [await launch(folder, name, name, **ours) for name in ("web", "content", "logs")]
            for service in services[2:]:
                await service.says(b"worker_ready")
            port = orjson.loads(await services[1].says(b"web_ready"))["port"]
            yield f"http://127.0.0.1:{port}", services
            await end(services)
    finally:
        await end(services)


async def end(services: list[Service]) -> None:
    for service in services:
        if service.process.returncode is None:
            service.process.terminate()
    for service in services:
        await service.process.wait()


async def build(client: httpx.AsyncClient, goal: str) -> dict[str, Any]:
    """Makes one roadmap; looks for the end of its run ten times a second."""
    created = (await client.post("/v1/roadmaps", json={"goal": goal})).json()
    run: dict[str, Any] = {"finished_at": None}
    while run["finished_at"] is None:
        await asyncio.sleep(0.1)
        run = (await client.get(f"/v1/runs/{created['run']['id']}")).json()
    roadmap: dict[str, Any] = (await client.get(created["links"]["self"])).json()
    return roadmap


async def measure(url: str, services: list[Service], latency_ms: int, count: int) -> str:
    before = [service.cpu() for service in services]
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        roadmaps = await asyncio.gather(*(build(client, GOAL) for _ in range(count)))
        seconds = time.monotonic() - began
        run = (await client.get(f"/v1/runs/{roadmaps[0]['run']['id']}")).json()
    assert all(roadmap["status"] == "succeeded" for roadmap in roadmaps)
    pieces = sum(roadmap["content"]["ready"] for roadmap in roadmaps)
    path = latency_ms / 1000 * (len(run["steps"]) + AFTER_THE_PLAN)
    ratio = f"{seconds / path:.2f}" if path else "-"
    costs = [f"{service.cpu() - spent:.2f}" for service, spent in zip(services, before, strict=True)]
    return f"| {count} | {pieces} | {seconds:.2f} | {path:.2f} | {ratio} | {' | '.join(costs)} |"


async def main(latency_ms: int, counts: list[int]) -> None:
    with tempfile.TemporaryDirectory(prefix="roadmap-bench-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101  as root PostgreSQL runs under an account of its own
        async with stack(Path(folder), latency_ms) as (url, services):
            print(f"Model latency {latency_ms} ms, one content process, {os.cpu_count()} cores.\n")
            columns = " | ".join(f"CPU s, {service.name}" for service in services)
            print(f"| roadmaps | pieces | seconds | critical path, s | ratio | {columns} |")
            print("|" + " ---: |" * (5 + len(services)))
            for count in counts:
                print(await measure(url, services, latency_ms, count), flush=True)


if __name__ == "__main__":
    asyncio.run(
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 500, [int(word) for word in sys.argv[2:]] or [1, 1, 10])
    )
