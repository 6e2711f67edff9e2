"""Whether the pages that a model named are there. What could not be found out is said so, never called fine."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from weakref import WeakValueDictionary

import structlog

from roadmap.content.model import LinkCheck
from roadmap.outbound.address import Address
from roadmap.outbound.errors import Denied, NoSuchName, Unreached
from roadmap.outbound.fetch import INTERNET, Fetcher, open_fetcher

__all__ = ["CheckLinks", "LinkChecker", "Verdict", "leave_unchecked", "open_links"]

log = structlog.get_logger()

# Seconds for one answer of the model. One GET has five; the rest is waiting for a turn.
PATIENCE = 6.0
AT_ONCE = 20
AT_ONCE_PER_HOST = 2
MOST_REMEMBERED = 2_000
REMEMBERED_FOR = 3_600.0
# What went wrong on the way may soon go right, but one slow page must not cost every concept that names it its time.
DOUBTED_FOR = 300.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`checked_at` is when somebody looked; None when nobody did."""

    check: LinkCheck
    checked_at: datetime | None = None


CheckLinks = Callable[[Collection[str]], Awaitable[dict[str, Verdict]]]


@asynccontextmanager
async def open_links(*, on: bool) -> AsyncIterator[CheckLinks]:
    """How links are checked while the block runs; switched off, no call leaves this process."""
    if not on:
        yield leave_unchecked
        return
    async with open_fetcher() as fetcher:
        yield LinkChecker(fetcher).check


async def leave_unchecked(urls: Collection[str]) -> dict[str, Verdict]:
    """Judges the spelling alone: an address that may not be asked for is refused, any other is unverified."""
    return {url: Verdict(LinkCheck.UNVERIFIED if _is_allowed(url) else LinkCheck.REFUSED) for url in urls}


def _is_allowed(url: str) -> bool:
    try:
        INTERNET.read(url)
    except Denied:
        return False
    return True


class LinkChecker:
    """Asks for pages, for all jobs of this process: a few at once, and for the same page once an hour."""

    def __init__(self, fetcher: Fetcher, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetcher = fetcher
        self._memory = _Memory(clock)
        self._turns = asyncio.Semaphore(AT_ONCE)
        # A host's turns live as long as somebody waits for one.
        self._turns_of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def check(self, urls: Collection[str]) -> dict[str, Verdict]:
        """A verdict for each, within six seconds. Raises nothing."""
        async with asyncio.TaskGroup() as group:
            checks = {url: group.create_task(self._check(url)) for url in urls}
        return {url: check.result() for url, check in checks.items()}

    async def _check(self, url: str) -> Verdict:
        try:
            address = self._fetcher.guard.read(url)
        except Denied as exc:
            return _tell(url, LinkCheck.REFUSED, exc)
        try:
            async with asyncio.timeout(PATIENCE):
                return self._memory.recall(str(address)) or await self._wait_and_ask(address)
        except TimeoutError:
            return Verdict(LinkCheck.UNVERIFIED)

    async def _wait_and_ask(self, address: Address) -> Verdict:
        """The host's turn comes first, so that many pages of a slow one keep nobody else waiting."""
        turns = self._turns_of.setdefault(address.authority, asyncio.Semaphore(AT_ONCE_PER_HOST))
        async with turns, self._turns:
            known = self._memory.recall(str(address))  # somebody may have asked meanwhile
            return known or self._memory.keep(str(address), await self._ask(str(address)))

    async def _ask(self, url: str) -> Verdict:
        try:
            status = await self._fetcher.status(url)
        except Denied as exc:
            return _tell(url, LinkCheck.REFUSED, exc)
        except NoSuchName as exc:
            return _tell(url, LinkCheck.DEAD, exc)
        except Unreached as exc:
            return _tell(url, LinkCheck.UNVERIFIED, exc)
        return _tell(url, _meaning(status), f"it answered {status}")


def _meaning(status: int) -> LinkCheck:
    """Only what is said about the page counts: 401, 403, 429 and 5xx are about us, or about its server."""
    if 200 <= status < 300:
        return LinkCheck.VERIFIED
    return LinkCheck.DEAD if status in {404, 410} else LinkCheck.UNVERIFIED


def _tell(url: str, check: LinkCheck, reason: object) -> Verdict:
    log.debug("link_checked", url=url[:200], check=check.value, reason=str(reason))
    return Verdict(check, datetime.now(UTC).replace(microsecond=0))


class _Memory:
    """The last verdicts, by address; the oldest goes first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Verdict]] = OrderedDict()

    def recall(self, url: str) -> Verdict | None:
        until, verdict = self._kept.get(url, (0.0, None))
        return verdict if self._clock() < until else None

    def keep(self, url: str, verdict: Verdict) -> Verdict:
        good_for = DOUBTED_FOR if verdict.check is LinkCheck.UNVERIFIED else REMEMBERED_FOR
        self._kept[url] = (self._clock() + good_for, verdict)
        self._kept.move_to_end(url)
        if len(self._kept) > MOST_REMEMBERED:
            self._kept.popitem(last=False)
        return verdict
