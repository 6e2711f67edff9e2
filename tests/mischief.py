"""What the soak does to a running stack: a sequence of faults that follows from a seed, and how each is done.

The choice, the times and the lengths are drawn before anything happens; what comes of them is up to the machine.
"""

import asyncio
import os
import random
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import asyncpg
from history import History, Mark
from model_server import Behaviour, Call, reset, stall, status
from redis.exceptions import RedisError
from tcp_proxy import TcpProxy
from whole import MALFORMED, Whole, offline

from roadmap.embedded.postgres import PostgresServer
from roadmap.embedded.redis import RedisServer

__all__ = ["FAULTS", "PROCESSES", "Ground", "Planned", "Provider", "do", "heal", "plan"]

PROCESSES = ("web", "web:second", "content", "content:second", "logs", "logs:second")
PAUSE = (5.0, 15.0)  # seconds between the beginnings of two faults
# A process that froze in a transaction holds its locks until PostgreSQL ends it; then its work is taken over.
FROZEN_COUNTS = 10.0
LATENCY = (0.2, 0.5)
OWN_FAULTS = 0.04  # of the provider's calls, on a good day
TOO_MANY = status(429, {"retry-after": "1"}, {"error": {"message": "slow down"}})
BROKEN = status(500, {}, {"error": {"message": "something broke"}})
WEATHER = {"429": TOO_MANY, "500": BROKEN, "cut": reset(), "malformed": MALFORMED, "silent": stall()}

TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'roadmap-%'
"""


@dataclass(slots=True)
class Provider:
    """Answers as the offline model does, late and with a few faults; a storm makes all calls fail one way."""

    chance: random.Random
    storm: Behaviour | None = None

    def __call__(self, call: Call) -> Behaviour:
        if self.storm is not None:
            return self.storm
        if self.chance.random() < OWN_FAULTS:
            return self.chance.choice([TOO_MANY, BROKEN, reset(), MALFORMED])
        return offline(self.chance.uniform(*LATENCY))(call)


@dataclass(slots=True)
class Ground:
    """All that can be broken. Two faults at one thing wait for each other; at different things they meet."""

    whole: Whole
    history: History
    postgres: PostgresServer
    redis: RedisServer
    postgres_way: TcpProxy
    redis_way: TcpProxy
    provider: Provider
    locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))


@dataclass(frozen=True, slots=True)
class Planned:
    """`pause` before it, in seconds; `target` for faults of processes; `size` from 0 to 1 for lengths."""

    pause: float
    fault: str
    target: str
    size: float

    def length(self, shortest: float, longest: float) -> float:
        return shortest + self.size * (longest - shortest)


def plan(seed: int) -> Iterator[Planned]:
    """Without end; the same for the same seed."""
    chance = random.Random(seed)
    while True:
        yield Planned(
            pause=chance.uniform(*PAUSE),
            fault=chance.choice(list(FAULTS)),
            target=chance.choice(PROCESSES),
            size=chance.random(),
        )


async def do(ground: Ground, planned: Planned) -> None:
    await FAULTS[planned.fault](ground, planned)


async def heal(ground: Ground) -> None:
    """Fair weather, and every process there."""
    ground.postgres_way.calm()
    ground.redis_way.calm()
    ground.provider.storm = None
    for name in PROCESSES:
        if ground.whole.stack[name].exit_code is not None:
            await ground.whole.stack.start(name)


# ---- processes ----


async def kill(ground: Ground, planned: Planned) -> None:
    name, stack = planned.target, ground.whole.stack
    async with ground.locks[name]:
        with ground.history.trouble(f"kill -9 {name}"):
            await stack.kill(name)
            await stack.start(name)


async def freeze(ground: Ground, planned: Planned) -> None:
    name, length = planned.target, planned.length(5, 15)
    child = ground.whole.stack[name]
    async with ground.locks[name]:
        with ground.history.trouble(f"freeze {name} for {length:.1f} s") as trouble:
            child = ground.whole.stack[name]
            child.signal(signal.SIGSTOP)
            await asyncio.sleep(length)
            child.signal(signal.SIGCONT)
        trouble.ended = min(trouble.ended, trouble.began + FROZEN_COUNTS)


async def stop(ground: Ground, planned: Planned) -> None:
    name, stack = planned.target, ground.whole.stack
    async with ground.locks[name]:
        with ground.history.trouble(f"SIGTERM {name}"):
            await stack.terminate(name)
            await stack.start(name)


# ---- Redis ----


async def kill_redis(ground: Ground, planned: Planned) -> None:
    length = planned.length(0, 6)
    async with ground.locks["redis"]:
        with ground.history.trouble(f"redis killed, empty after {length:.1f} s", Mark.AWAY, Mark.FORGETS):
            os.kill(ground.redis.pid, signal.SIGKILL)
            await ground.redis.stop()
            await asyncio.sleep(length)
            await ground.redis.start()


async def flush(ground: Ground, _: Planned) -> None:
    async with ground.locks["redis"]:
        ground.history.fault("FLUSHALL", Mark.FORGETS)
        await _tell_redis(ground, "FLUSHALL")


async def pause_clients(ground: Ground, planned: Planned) -> None:
    length = planned.length(1, 5)
    async with ground.locks["redis"]:
        with ground.history.trouble(f"CLIENT PAUSE {length:.1f} s", Mark.AWAY):
            await _tell_redis(ground, f"CLIENT PAUSE {length * 1000:.0f} ALL")
            await asyncio.sleep(length)


async def kill_clients(ground: Ground, _: Planned) -> None:
    async with ground.locks["redis"]:
        ground.history.fault("CLIENT KILL", Mark.AWAY)
        await _tell_redis(ground, "CLIENT KILL TYPE normal SKIPME yes")
        await _tell_redis(ground, "CLIENT KILL TYPE pubsub")


async def _tell_redis(ground: Ground, command: str) -> None:
    for _ in range(2):  # the first may meet a connection of before the last restart
        try:
            await ground.whole.redis.execute_command(*command.split())  # type: ignore[no-untyped-call]
        except RedisError:
            continue
        return


# ---- PostgreSQL ----


async def stop_postgres(ground: Ground, planned: Planned) -> None:
    length = planned.length(0, 6)
    async with ground.locks["postgres"]:
        with ground.history.trouble(f"postgresql stopped at once, started after {length:.1f} s", Mark.AWAY):
            await ground.postgres.stop("immediate")
            await asyncio.sleep(length)
            await ground.postgres.start()


async def terminate_sessions(ground: Ground, _: Planned) -> None:
    async with ground.locks["postgres"]:
        ground.history.fault("all sessions terminated", Mark.AWAY)
        connection = await asyncpg.connect(ground.postgres.url, timeout=10)
        try:
            await connection.fetchval(TERMINATE)
        finally:
            await connection.close()


# ---- the network between us and the servers ----


async def cut_postgres(ground: Ground, _: Planned) -> None:
    await _cut(ground, "postgresql", ground.postgres_way)


async def cut_redis(ground: Ground, _: Planned) -> None:
    await _cut(ground, "redis", ground.redis_way)


async def _cut(ground: Ground, name: str, way: TcpProxy) -> None:
    async with ground.locks[f"way to {name}"]:
        ground.history.fault(f"connections to {name} reset", Mark.AWAY, Mark.HIDES)
        await way.reset()


async def half_close_postgres(ground: Ground, _: Planned) -> None:
    await _half_close(ground, "postgresql", ground.postgres_way)


async def half_close_redis(ground: Ground, _: Planned) -> None:
    await _half_close(ground, "redis", ground.redis_way)


async def _half_close(ground: Ground, name: str, way: TcpProxy) -> None:
    async with ground.locks[f"way to {name}"]:
        ground.history.fault(f"connections to {name} half closed", Mark.AWAY, Mark.HIDES)
        way.half_close()


async def refuse_postgres(ground: Ground, planned: Planned) -> None:
    await _worsen(ground, "postgresql refuses", planned.length(1, 8), ground.postgres_way.refuse)


async def refuse_redis(ground: Ground, planned: Planned) -> None:
    await _worsen(ground, "redis refuses", planned.length(1, 8), ground.redis_way.refuse)


async def swallow_postgres(ground: Ground, planned: Planned) -> None:
    await _worsen(ground, "postgresql is a black hole", planned.length(1, 8), ground.postgres_way.blackhole)


async def swallow_redis(ground: Ground, planned: Planned) -> None:
    await _worsen(ground, "redis is a black hole", planned.length(1, 8), ground.redis_way.blackhole)


async def slow_postgres(ground: Ground, planned: Planned) -> None:
    await _worsen(ground, "postgresql is slow", planned.length(3, 10), lambda: ground.postgres_way.delay(0.1))


async def slow_redis(ground: Ground, planned: Planned) -> None:
    await _worsen(ground, "redis is slow", planned.length(3, 10), lambda: ground.redis_way.delay(0.2))


async def _worsen(ground: Ground, name: str, length: float, weather: Callable[[], None]) -> None:
    server = name.partition(" ")[0]
    way = ground.postgres_way if server == "postgresql" else ground.redis_way
    async with ground.locks[f"way to {server}"]:
        with ground.history.trouble(f"{name} for {length:.1f} s", Mark.AWAY, Mark.HIDES):
            weather()
            await asyncio.sleep(length)
            way.calm()


# ---- the provider ----


async def storm(ground: Ground, planned: Planned) -> None:
    kind = list(WEATHER)[int(planned.size * len(WEATHER))]
    async with ground.locks["provider"]:
        with ground.history.trouble(f"provider storm: {kind}"):
            ground.provider.storm = WEATHER[kind]
            await asyncio.sleep(5)
            ground.provider.storm = None


FAULTS: dict[str, Callable[[Ground, Planned], Awaitable[None]]] = {
    "kill": kill,
    "kill again": kill,
    "freeze": freeze,
    "freeze again": freeze,
    "stop": stop,
    "stop again": stop,
    "kill redis": kill_redis,
    "flush": flush,
    "pause clients": pause_clients,
    "kill clients": kill_clients,
    "stop postgresql": stop_postgres,
    "terminate sessions": terminate_sessions,
    "cut postgresql": cut_postgres,
    "cut redis": cut_redis,
    "half close postgresql": half_close_postgres,
    "half close redis": half_close_redis,
    "refuse postgresql": refuse_postgres,
    "refuse redis": refuse_redis,
    "swallow postgresql": swallow_postgres,
    "swallow redis": swallow_redis,
    "slow postgresql": slow_postgres,
    "slow redis": slow_redis,
    "storm": storm,
}
