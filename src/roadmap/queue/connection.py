"""How every connection to Redis is made: time-outs everywhere, host names checked, faults known by name."""

import random
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

__all__ = ["FAULTS", "back_off", "connection_options", "open_client", "open_pool"]

# Whatever Redis or the way to it can do to us. asyncio's own time-outs are TimeoutError, which is an OSError.
FAULTS = (RedisError, OSError)

_LONGEST_PAUSE = 5.0


def connection_options(url: str, timeout: float, *, resend: bool = True) -> dict[str, Any]:
    """Arguments for `from_url`; `timeout` in seconds, for connecting only: put `asyncio.timeout` around every call.

    redis-py's own `socket_timeout` uses `asyncio.wait_for`, which on Python 3.11 loses a cancellation that arrives
    while a command is being sent.
    `resend`: a command is sent a second time when its connection turns out to be dead, as servers restart and hosts
    cut idle ones. A subscription must not: it would be renewed without a word about what it missed.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 1 if resend else 0),
        "retry_on_error": [RedisConnectionError] if resend else [],
        # Two commands less for each new connection.
        "lib_name": None,
        "lib_version": None,
    }
    if urlsplit(url).scheme == "unix":
        del options["socket_keepalive"]
    if checks_host_name(url):
        options["ssl_check_hostname"] = True
    return options


def open_client(url: str, *, timeout: float, size: int, resend: bool = True) -> Redis:
    """A client that connects when first used, with at most `size` connections."""
    options = connection_options(url, timeout, resend=resend)
    return Redis.from_pool(open_pool(url, max_connections=size, timeout=timeout, **options))


def open_pool(url: str, **options: Any) -> BlockingConnectionPool:
    """A pool of connections whose faults are all of FAULTS. `options` are redis-py's."""
    pool = BlockingConnectionPool.from_url(url, **options)
    plain = pool.connection_class
    pool.connection_class = type(plain.__name__, (_Candid, plain), {"__slots__": ()})
    return pool


class _Candid(AbstractConnection):
    """Under uvloop, to write to a connection that was reset while nobody looked is a RuntimeError."""

    __slots__ = ()

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as exc:
            raise RedisConnectionError(f"the connection was closed: {exc}") from exc


def checks_host_name(url: str) -> bool:
    """redis-py checks certificates but not names by default; `?ssl_cert_reqs=none` in the URL turns off both."""
    parts = urlsplit(url)
    return parts.scheme == "rediss" and parse_qs(parts.query).get("ssl_cert_reqs", ["required"]) == ["required"]


def back_off(attempt: int) -> float:
    """Seconds before try number `attempt` (from 0) to reconnect: doubling from 0.1 to 5, half of it at random."""
    pause = min(0.1 * 2.0 ** min(attempt, 10), _LONGEST_PAUSE)
    return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
