"""arq's own client, built so that it times out, reconnects, checks names and never pickles."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from arq.connections import ArqRedis, RedisSettings
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from roadmap.queue.connection import checks_host_name, connection_options, open_pool
from roadmap.queue.model import KEPT_MS, dump_job, load_job

__all__ = ["arq_pool", "blocking_client", "redis_settings"]

_ANSWER_SECONDS = 5.0
_CONNECTIONS = 20


def arq_pool(url: str, queue: str) -> ArqRedis:
    """The `redis_pool` of a worker on `queue` (its key in Redis). Connects when first used."""
    pool = open_pool(
        url,
        max_connections=_CONNECTIONS,
        timeout=2 * _ANSWER_SECONDS,
        # arq's own calls have no other bound; see `connection_options` for what is wrong with it.
        socket_timeout=_ANSWER_SECONDS,
        health_check_interval=25,
        **connection_options(url, _ANSWER_SECONDS),
    )
    return ArqRedis(
        pool_or_conn=pool,
        job_serializer=dump_job,
        job_deserializer=load_job,
        default_queue_name=queue,
        expires_extra_ms=KEPT_MS,
    )


def blocking_client(pool: ArqRedis) -> Redis:
    """A client of its own to the same server, for blocking commands: put `asyncio.timeout` around every call."""
    options: dict[str, Any] = {
        **pool.connection_pool.connection_kwargs,
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
    }
    return Redis.from_pool(ConnectionPool(connection_class=pool.connection_pool.connection_class, **options))


def redis_settings(url: str) -> RedisSettings:
    """The same URL for the stock `arq` command: arq's `from_dsn` neither decodes passwords nor checks names."""
    parts = parse_url(url)
    verify = parse_qs(urlsplit(url).query).get("ssl_cert_reqs", ["required"])[0]
    return RedisSettings(
        host=parts.get("host", "localhost"),
        port=parts.get("port", 6379),
        unix_socket_path=parts.get("path"),
        database=parts.get("db", 0),
        username=parts.get("username"),
        password=parts.get("password"),
        ssl=url.startswith("rediss://"),
        ssl_cert_reqs=verify,
        ssl_check_hostname=checks_host_name(url),
        conn_timeout=5,
        conn_retries=60,
        retry_on_timeout=True,
    )
