"""Limits of guessing, counted in PostgreSQL: by account and by address, on every replica alike.

Past the free failures an account takes one try per pause, from whoever asks first: a stranger who never stops asking
can have them all. So a browser in which the account has signed in before is counted by itself, and no stranger can
hold its owner up there. A cookie says so and not an address, which others share: to be counted apart would tell them
that there is such an account. A try is counted before it is looked at, so that a hundred at once are a hundred; one
that is refused is not counted, and prolongs nothing.
"""

import hashlib
import ipaddress
from dataclasses import dataclass

from roadmap.accounts.sessions import Device
from roadmap.database import Database, Executor
from roadmap.errors import TooMany

__all__ = ["Attempt", "begin_attempt", "digest_of", "forget_failures", "forget_old_failures", "network_of"]


@dataclass(frozen=True, slots=True)
class Limit:
    """So many failures cost nothing; from then on each doubles the pause before the next try, up to the longest."""

    free: int
    longest: int  # seconds


OF_ADDRESS = Limit(free=30, longest=900)
OF_ACCOUNT = Limit(free=10, longest=30)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to sign in, by what is counted of it. What was typed stays out of the table: it may be a password.

    `device` is None for a browser in which this very account has not signed in before.
    """

    address: str
    account: str
    device: str | None = None

    @classmethod
    def of(cls, address: str | None, email: str, device: Device | None = None) -> "Attempt":
        digest = digest_of(email)
        known = f"device:{device.id}" if device is not None and device.account == digest else None
        return cls(f"address:{network_of(address)}", f"account:{digest}", known)


def digest_of(email: str) -> str:
    """The same however the address is written."""
    return hashlib.sha256(email.strip().casefold().encode("utf-8", "replace")).hexdigest()


def network_of(address: str | None) -> str:
    """Of an IPv6 address the first half, which is one customer's; an IPv4 address as it is, also inside an IPv6 one."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
        ip = ip.ipv4_mapped
    return str(ip)


async def begin_attempt(db: Database, attempt: Attempt) -> None:
    """Counts it as failed. Raises TooMany, and counts nothing, while its address or its account has to wait; of a known
    browser that browser alone."""
    if attempt.device is not None:
        await _count(db, attempt.device, OF_ACCOUNT)
        return
    async with db.transaction() as tx:
        await _count(tx, attempt.address, OF_ADDRESS)
        await _count(tx, attempt.account, OF_ACCOUNT)


# Failures of more than a quarter of an hour ago are forgotten. `$2` is how many are free, `$3` the longest pause.
COUNT_ATTEMPT = """
INSERT INTO sign_in_failures AS known (subject, failures) VALUES ($1, 1)
ON CONFLICT (subject) DO UPDATE SET
    failures = CASE WHEN known.last_at < now() - interval '15 minutes' THEN 1 ELSE known.failures + 1 END,
    first_at = CASE WHEN known.last_at < now() - interval '15 minutes' THEN now() ELSE known.first_at END,
    last_at = now()
WHERE known.failures < $2
   OR known.last_at <= now() - make_interval(secs => least(power(2, least(known.failures - $2, 20)), $3))
RETURNING failures
"""

READ_PAUSE = """
SELECT extract(epoch FROM last_at - now())::float8 + least(power(2, least(failures - $2, 20)), $3)
FROM sign_in_failures WHERE subject = $1
"""


async def _count(db: Executor, subject: str, limit: Limit) -> None:
    if await db.fetchval(COUNT_ATTEMPT, subject, limit.free, limit.longest) is None:
        pause = await db.fetchval(READ_PAUSE, subject, limit.free, limit.longest)
        raise TooMany("too many failed sign-ins; wait, then try again", retry_in=max(1.0, pause or 1.0))


GIVE_BACK = """
WITH cleared AS (DELETE FROM sign_in_failures WHERE subject = $2)
UPDATE sign_in_failures SET failures = greatest(failures - 1, 0) WHERE subject = $1
"""


FORGET_DEVICE = """
DELETE FROM sign_in_failures WHERE subject = $1
"""


async def forget_failures(db: Executor, attempt: Attempt) -> None:
    """It succeeded: its account's failures are forgotten, of its address this one alone. Otherwise whoever has one
    account could guess at all others for ever. Of a known browser its own are: it was counted nowhere else."""
    if attempt.device is not None:
        await db.execute(FORGET_DEVICE, attempt.device)
        return
    await db.execute(GIVE_BACK, attempt.address, attempt.account)


FORGET_OLD_FAILURES = """
DELETE FROM sign_in_failures WHERE last_at < now() - interval '1 hour'
"""


async def forget_old_failures(db: Executor) -> None:
    await db.execute(FORGET_OLD_FAILURES)
