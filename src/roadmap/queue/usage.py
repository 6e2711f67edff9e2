"""Redis of itself: memory, clients, how many commands it did; and the calls to a model that are under way."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

__all__ = ["Usage", "read_gates", "read_usage"]

_LOOKS = 20
_KEYS_A_LOOK = 500


@dataclass(frozen=True, slots=True)
class Usage:
    """`most_bytes` is None where there is no limit. `commands` since its start; `commands_per_second` since the last
    look, None at the first one. `keys` are of this database."""

    version: str
    used_bytes: int
    most_bytes: int | None
    eviction_policy: str
    append_only: bool
    clients: int
    keys: int
    commands: int
    commands_per_second: float | None = None


async def read_usage(client: Redis) -> Usage:
    """Raises FAULTS. What a hosted Redis does not tell is 0, or empty."""
    async with client.pipeline(transaction=False) as pipe:
        pipe.info()
        pipe.dbsize()
        told, keys = await pipe.execute()
    return _load(told, keys)


def _load(told: Mapping[str, Any], keys: int) -> Usage:
    return Usage(
        version=str(told.get("valkey_version") or told.get("redis_version", "")),
        used_bytes=int(told.get("used_memory", 0)),
        most_bytes=int(told.get("maxmemory", 0)) or None,
        eviction_policy=str(told.get("maxmemory_policy", "")),
        append_only=bool(int(told.get("aof_enabled", 0))),
        clients=int(told.get("connected_clients", 0)),
        keys=keys,
        commands=int(told.get("total_commands_processed", 0)),
    )


async def read_gates(client: Redis, prefix: str) -> dict[str, int]:
    """Calls under way, by the name of each limiter (see limiter.py) that is found among the first 10000 keys. `prefix`
    is that of our keys. Raises FAULTS."""
    beginning, end, cursor = f"{prefix}limits:", ":slots", 0
    found: dict[str, int] = {}
    for _ in range(_LOOKS):
        cursor, names = await client.scan(cursor, match=f"{beginning}*{end}", count=_KEYS_A_LOOK)
        for name in names:
            # What a dead worker held is over by its time.
            held = await client.zcount(name, time.time() * 1000, "+inf")
            found[_text(name)[len(beginning) : -len(end)]] = held
        if not cursor:
            break
    return found


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
