"""What Roadmap costs a month where memory, processor and Redis commands are billed by use. Prints Markdown.

    python bench/cost.py [IDLE_SECONDS] [ROADMAPS]

Each layout runs as real processes over servers of their own, with the offline model over HTTP: what it uses when
nothing happens (60 s), for a roadmap (the mean of 20, made at once) and for a thousand reads. From these and the prices
below the bill is computed. The model's own price is not in it, nor what leaves the network: a few megabytes.
"""

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
from redis.asyncio import Redis
from roadmaps import GOAL, TICKS, Service, end, launch

from roadmap.embedded.servers import LocalServers, local_servers
from roadmap.migrate import migrate

# docs.railway.com/pricing/plans, read in November 2026: dollars a month, by use.
GIGABYTE = 10.0
PROCESSOR = 20.0
VOLUME_GIGABYTE = 0.15
SUBSCRIPTION = 5.0  # Hobby; as much use is included
# upstash.com/pricing/redis, read in November 2026: dollars for 100,000 commands, and the free ones of a month.
COMMANDS = 0.20
FREE_COMMANDS = 500_000

MONTH = 30 * 24 * 3600.0
LATENCY_MS = 500
WARM_UP = 3
READS_OF_A_ROADMAP = 100


@dataclass(frozen=True)
class Traffic:
    name: str
    roadmaps: int  # a day
    replicas: int  # of web and of content, or of the one that does both


TRAFFIC = (Traffic("low", 10, 1), Traffic("busy", 2_000, 2))
ASLEEP = "web, logs, content that hibernates"
LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "web, logs, content": (("web",), ("logs",), ("content",)),
    ASLEEP: (("web",), ("logs",), ("content",)),
    "web --with-logs, content": (("web", "--with-logs"), ("content",)),
    "all": (("all",),),
}


@dataclass(frozen=True)
class Use:
    """Of one process, or of a server: megabytes at the end, and seconds of the processor."""

    name: str
    rss: float
    pss: float
    idle: float  # a second
    roadmap: float
    reads: float  # a thousand

    def dollars(self, traffic: Traffic, replicas: int) -> float:
        """What all replicas together are billed; they share the work."""
        made = traffic.roadmaps * MONTH / 86_400
        busy = made * (self.roadmap + self.reads * READS_OF_A_ROADMAP / 1000)
        seconds = replicas * self.idle * MONTH + busy
        return replicas * self.rss / 1024 * GIGABYTE + seconds / MONTH * PROCESSOR


@dataclass(frozen=True)
class Measured:
    layout: str
    processes: tuple[Use, ...]
    servers: tuple[Use, ...]
    idle_commands: float  # a minute
    commands: float  # a roadmap


class Counter:
    """The commands that clients send to a Redis; what a script does is a part of its one command."""

    def __init__(self) -> None:
        self.count = 0

    async def follow(self, url: str) -> None:
        async with Redis.from_url(url) as redis, redis.monitor() as monitor:
            async for command in monitor.listen():
                self.count += command["client_type"] != "lua"


class Meter:
    """Reads what processes have used, from /proc."""

    def __init__(self, services: Sequence[Service], servers: LocalServers, counter: Counter) -> None:
        self.roots = {service.name: service.process.pid for service in services}
        self.roots |= {"PostgreSQL": servers.postgres.pid, "Redis": servers.redis.pid}
        self.database_url = servers.database_url
        self._counter = counter

    def read(self) -> tuple[dict[str, float], int, float]:
        """Seconds of the processor by process, commands, and the time."""
        return {name: cpu(pid) for name, pid in self.roots.items()}, self._counter.count, time.monotonic()

    def memory(self, name: str) -> tuple[float, float]:
        """RSS and PSS in megabytes. What PostgreSQL's processes share is counted once, in both."""
        family = [self.roots[name], *children(self.roots[name])]
        rss, pss = (sum(smaps(pid, key) for pid in family) / 1024 for key in ("Rss", "Pss"))
        return (pss if len(family) > 1 else rss), pss


def cpu(pid: int) -> float:
    """Of a process and its children, living and dead."""
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(") ")[2].split() for one in (pid, *children(pid))]
    return sum(int(of[11]) + int(of[12]) for of in fields) / TICKS + sum(map(int, fields[0][13:15])) / TICKS


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def smaps(pid: int, key: str) -> int:
    """Kilobytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


@asynccontextmanager
async def running(
    folder: Path, commands: Iterable[tuple[str, ...]], content: dict[str, str]
) -> AsyncIterator[tuple[str, Meter]]:
    """The URL of the API of a layout, and what reads its use. `content`: what only that is told."""
    model = await launch(folder, "model", "offline-model", "--port", "0", "--latency-ms", str(LATENCY_MS))
    services: list[Service] = []
    counter = Counter()
    try:
        async with local_servers(folder / "servers") as servers, asyncio.TaskGroup() as group:
            await migrate(servers.database_url)
            counting = group.create_task(counter.follow(servers.redis_url))
            environment = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url, "AUTH_MODE": "none"}
            environment |= {"LLM_BASE_URL": (await model.says(b"http://")).decode().split()[-1], "LLM_API_KEY": "a-key"}
            environment |= {"VERIFY_LINKS": "off", "HOST": "127.0.0.1", "LEARNER_BACKLOG": "0"}
            for words in commands:
                own = {"PORT": "0", **(content if words == ("content",) else {})}
                services.append(await launch(folder, " ".join(words), *words, **environment, **own))
            port = orjson.loads(await services[0].says(b"web_ready"))["port"]
            for service in services[1:]:
                await service.says(b"worker_ready")
            yield f"http://127.0.0.1:{port}", Meter(services, servers, counter)
            await end(services)
            counting.cancel()
    finally:
        await end([*services, model])


def hibernating() -> dict[str, str]:
    """A second after its last work. The memory that is read at the end is that of its sleep."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return {"PORT": str(port), "HIBERNATE_AFTER": "1", "WAKE_URL": f"http://127.0.0.1:{port}/wake"}


async def measure(layout: str, idle_seconds: float, count: int) -> Measured:
    with tempfile.TemporaryDirectory(prefix="roadmap-bench-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101  as root PostgreSQL runs under an account of its own
        content = hibernating() if layout == ASLEEP else {}
        async with running(Path(folder), LAYOUTS[layout], content) as (url, meter):
            async with httpx.AsyncClient(base_url=url, timeout=60) as client:
                await make(client, WARM_UP)
                await asyncio.sleep(2)  # until the log is written
                spans = [await between(meter, asyncio.sleep(idle_seconds))]
                spans.append(await between(meter, make(client, count)))
                spans.append(await between(meter, read(client)))
            return compute(layout, meter, spans, count)


Span = tuple[dict[str, float], int, float]


async def between(meter: Meter, work: Any) -> Span:
    """What was used while the work was done."""
    before, commands, began = meter.read()
    await work
    after, more, ended = meter.read()
    return {name: after[name] - before[name] for name in after}, more - commands, ended - began


def compute(layout: str, meter: Meter, spans: Sequence[Span], count: int) -> Measured:
    """From what was used in three spans: nothing to do, so many roadmaps, a thousand reads."""
    (idle, idle_commands, idle_for), (made, commands, made_for), (read_, _, read_for) = spans

    def use(name: str) -> Use:
        rate = idle[name] / idle_for
        roadmap = max(0.0, made[name] - rate * made_for) / count
        return Use(name, *meter.memory(name), rate, roadmap, max(0.0, read_[name] - rate * read_for))

    uses = [use(name) for name in meter.roots]
    per_roadmap = (commands - idle_commands / idle_for * made_for) / count
    return Measured(layout, tuple(uses[:-2]), tuple(uses[-2:]), 60 * idle_commands / idle_for, per_roadmap)


async def make(client: httpx.AsyncClient, count: int) -> None:
    """So many roadmaps at once; looks for their ends once a second, as a patient client does."""

    async def one() -> None:
        created = (await client.post("/v1/roadmaps", json={"goal": GOAL})).json()
        run: dict[str, Any] = {"finished_at": None}
        while run["finished_at"] is None:
            await asyncio.sleep(1)
            run = (await client.get(f"/v1/runs/{created['run']['id']}")).json()
        assert run["status"] == "succeeded"

    await asyncio.gather(*(one() for _ in range(count)))


async def read(client: httpx.AsyncClient) -> None:
    """A thousand reads: a roadmap once, and then tutorials of it."""
    listed = (await client.get("/v1/roadmaps")).json()["data"][0]["id"]
    roadmap = (await client.get(f"/v1/roadmaps/{listed}")).json()
    concepts = [
        c["id"] for stage in roadmap["plan"]["stages"] for module in stage["modules"] for c in module["concepts"]
    ]
    for number in range(999):
        response = await client.get(f"/v1/roadmaps/{listed}/concepts/{concepts[number % len(concepts)]}/tutorial")
        assert response.status_code == 200


def replicas(process: Use, traffic: Traffic) -> int:
    """One process writes the log for all; the others are as many as the traffic has them."""
    return 1 if process.name == "logs" else traffic.replicas


def tell_use(measured: Sequence[Measured]) -> None:
    print("| process | RSS, MB | PSS, MB | CPU s, idle hour | CPU s, roadmap | CPU s, 1000 reads |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for one in measured:
        print(f"| *{one.layout}* | | | | | |")
        for use in [*one.processes, *one.servers]:
            numbers = f"{use.rss:.0f} | {use.pss:.0f} | {use.idle * 3600:.0f} | {use.roadmap:.2f} | {use.reads:.2f}"
            print(f"| {use.name} | {numbers} |")
    print("\n| layout | Redis commands, idle minute | of a roadmap |\n| --- | ---: | ---: |")
    for one in measured:
        print(f"| {one.layout} | {one.idle_commands:.0f} | {one.commands:.0f} |")


def tell_bills(measured: Sequence[Measured]) -> None:
    print("\n| layout | traffic | our processes | PostgreSQL | Redis | together | Redis billed by command |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for one in measured:
        for traffic in TRAFFIC:
            ours = sum(use.dollars(traffic, replicas(use, traffic)) for use in one.processes)
            postgres, redis = (use.dollars(traffic, 1) + VOLUME_GIGABYTE for use in one.servers)
            together = max(SUBSCRIPTION, ours + postgres + redis)
            sums = " | ".join(
                f"${dollars:.2f}" for dollars in (ours, postgres, redis, together, by_command(one, traffic))
            )
            print(f"| {one.layout} | {traffic.name} | {sums} |")


def by_command(one: Measured, traffic: Traffic) -> float:
    """Every further process is taken to ask as often, when idle, as all of the layout do on the average."""
    processes = sum(replicas(use, traffic) for use in one.processes)
    idle = one.idle_commands * MONTH / 60 * processes / len(one.processes)
    commands = idle + one.commands * traffic.roadmaps * MONTH / 86_400
    return max(0.0, commands - FREE_COMMANDS) / 100_000 * COMMANDS


async def main(idle_seconds: float, count: int) -> None:
    measured = [await measure(layout, idle_seconds, count) for layout in LAYOUTS]
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, {idle_seconds:.0f} s idle, {count} roadmaps.\n")
    tell_use(measured)
    traffic = ", ".join(f"{t.name}: {t.roadmaps} roadmaps a day, {t.replicas} replica(s)" for t in TRAFFIC)
    print(f"\nDollars a month; {traffic}; {READS_OF_A_ROADMAP} reads of each; ${SUBSCRIPTION:.0f} are the least.")
    tell_bills(measured)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0, int(sys.argv[2]) if len(sys.argv) > 2 else 20))
