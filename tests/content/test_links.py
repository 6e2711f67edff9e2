"""Links, asked for at a real local HTTPS server under the guard: what is there, what is not, what nobody could tell."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from page_server import PageServer, break_off, drip, endless, held, page, page_server, redirect, silence
from waiting import eventually

from roadmap.content.links import LinkChecker, leave_unchecked, open_links
from roadmap.content.model import LinkCheck
from roadmap.outbound.errors import NoSuchName
from roadmap.outbound.fetch import open_fetcher

DOCS = "docs.roadmap.org"


@pytest.fixture
async def site() -> AsyncIterator[PageServer]:
    async with page_server() as running:
        yield running


@pytest.fixture
async def checker(site: PageServer) -> AsyncIterator[LinkChecker]:
    async with open_fetcher(site.guard, site.look_up, site.trust) as fetcher:
        yield LinkChecker(fetcher)


async def test_every_link_of_an_answer_gets_a_verdict(site: PageServer, checker: LinkChecker) -> None:
    site.names["private.evil.org"] = ["10.0.0.1"]
    site.pages |= {
        "/ok": page(),
        "/endless": endless(),
        "/moved": redirect("/ok"),
        "/gone": page(410),
        "/members": page(403),
        "/busy": page(429),
        "/broken": page(503),
        "/unfinished": break_off(),
        "/circle": redirect("/circle"),
        "/inside": redirect("https://169.254.169.254/latest/meta-data/"),
        "/plain": redirect("http://docs.roadmap.org/ok"),
    }
    expected = {
        site.url(DOCS, "/ok"): LinkCheck.VERIFIED,
        site.url(DOCS, "/ok#part"): LinkCheck.VERIFIED,
        site.url(DOCS, "/endless"): LinkCheck.VERIFIED,
        site.url(DOCS, "/moved"): LinkCheck.VERIFIED,
        site.url(DOCS, "/nowhere"): LinkCheck.DEAD,
        site.url(DOCS, "/gone"): LinkCheck.DEAD,
        site.url(DOCS, "/members"): LinkCheck.UNVERIFIED,
        site.url(DOCS, "/busy"): LinkCheck.UNVERIFIED,
        site.url(DOCS, "/broken"): LinkCheck.UNVERIFIED,
        site.url(DOCS, "/unfinished"): LinkCheck.UNVERIFIED,
        site.url(DOCS, "/circle"): LinkCheck.UNVERIFIED,
        site.url("not.certified.org", "/ok"): LinkCheck.UNVERIFIED,
        site.url(DOCS, "/inside"): LinkCheck.REFUSED,
        site.url(DOCS, "/plain"): LinkCheck.REFUSED,
        site.url("private.evil.org", "/ok"): LinkCheck.REFUSED,
        "https://127.0.0.1/": LinkCheck.REFUSED,
        "https://user:secret@docs.roadmap.org/": LinkCheck.REFUSED,
        "no address": LinkCheck.REFUSED,
    }

    before = datetime.now(UTC).replace(microsecond=0)
    verdicts = await checker.check(list(expected))

    assert {url: verdict.check for url, verdict in verdicts.items()} == expected
    assert all(
        verdict.checked_at and before <= verdict.checked_at <= datetime.now(UTC) for verdict in verdicts.values()
    )


async def test_a_host_that_does_not_exist_is_dead(site: PageServer) -> None:
    async def know_nothing(_: str) -> list[str]:
        raise NoSuchName("its host does not exist")

    async with open_fetcher(site.guard, know_nothing, site.trust) as fetcher:
        verdicts = await LinkChecker(fetcher).check([site.url("gone.org")])

    assert verdicts[site.url("gone.org")].check is LinkCheck.DEAD


async def test_the_same_page_is_asked_for_once(site: PageServer, checker: LinkChecker) -> None:
    site.pages["/ok"] = page()
    ok, gone = site.url(DOCS, "/ok"), site.url(DOCS, "/gone")

    first = await checker.check([ok, gone])
    again = await asyncio.gather(*(checker.check([ok, gone, site.url(DOCS, "/ok#part")]) for _ in range(50)))

    assert sorted(site.asked) == [(DOCS, "/gone"), (DOCS, "/ok")]
    assert all(verdicts[ok] == first[ok] and verdicts[gone] == first[gone] for verdicts in again)


async def test_many_concepts_that_name_one_new_page_ask_for_it_hardly_more_than_once(
    site: PageServer, checker: LinkChecker
) -> None:
    site.pages["/ok"] = page()

    await asyncio.gather(*(checker.check([site.url(DOCS, "/ok")]) for _ in range(50)))

    assert len(site.asked) <= 2, "as many as a host is asked at once"


async def test_a_host_is_asked_twice_at_once_and_all_hosts_twenty_times(site: PageServer, checker: LinkChecker) -> None:
    gate = asyncio.Event()
    site.pages |= {f"/{number}": held(gate) for number in range(3)}
    urls = [site.url(f"h{host}.roadmap.org", f"/{number}") for host in range(12) for number in range(3)]

    async with asyncio.TaskGroup() as group:
        one_host = group.create_task(checker.check(urls[:3]))
        await eventually(lambda: site.open == 2, "two pages of one host are asked for")
        others = [group.create_task(checker.check(urls[place : place + 3])) for place in range(3, 36, 3)]
        await eventually(lambda: site.open == 20, "twenty pages are asked for")
        gate.set()
    verdicts = one_host.result() | {url: verdict for task in others for url, verdict in task.result().items()}

    assert {verdict.check for verdict in verdicts.values()} == {LinkCheck.VERIFIED}
    assert (site.most, len(site.asked), len(verdicts)) == (20, 36, 36)


async def test_a_slow_host_costs_six_seconds_and_the_others_nothing(site: PageServer, checker: LinkChecker) -> None:
    site.pages |= {"/silence": silence(), "/drip": drip(), "/ok": page()}
    slow = [site.url("slow.roadmap.org", f"/silence?{number}") for number in range(7)]
    fast = site.url(DOCS, "/ok")

    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(checker.check([*slow, site.url(DOCS, "/drip")]))
        await eventually(lambda: site.open == 3, "the slow pages are asked for")
        assert (await checker.check([fast]))[fast].check is LinkCheck.VERIFIED
        assert not waiting.done()
    assert time.monotonic() - started < 15.0

    verdicts = waiting.result()
    assert {verdict.check for verdict in verdicts.values()} == {LinkCheck.UNVERIFIED}
    unseen = [url for url, verdict in verdicts.items() if verdict.checked_at is None]
    assert set(slow[4:]) <= set(unseen), "their turn did not come"
    started = time.monotonic()
    assert (await checker.check([slow[0]]))[slow[0]] == verdicts[slow[0]]
    assert time.monotonic() - started < 1.0, "its slowness is remembered"


async def test_what_could_not_be_told_is_asked_again_sooner_than_what_could(site: PageServer) -> None:
    now = [0.0]
    site.pages |= {"/busy": page(503), "/ok": page()}
    busy, ok = site.url(DOCS, "/busy"), site.url(DOCS, "/ok")
    async with open_fetcher(site.guard, site.look_up, site.trust) as fetcher:
        checker = LinkChecker(fetcher, lambda: now[0])
        for moment in (1.0, 300.0, 302.0, 3_602.0):
            now[0] = moment
            await checker.check([busy, ok])

    assert site.asked.count((DOCS, "/ok")) == 2
    assert site.asked.count((DOCS, "/busy")) == 3


async def test_the_memory_is_bounded(site: PageServer) -> None:
    async with open_fetcher(site.guard, site.look_up, site.trust) as fetcher:
        checker = LinkChecker(fetcher)
        refused = [site.url("private.evil.org", f"/{number}") for number in range(2_001)]
        site.names["private.evil.org"] = ["10.0.0.1"]
        await checker.check(refused[:1])
        await checker.check(refused[1:])
        site.looked_up.clear()
        await checker.check(refused[-1:])
        assert site.looked_up == [], "the last is remembered"
        await checker.check(refused[:1])
        assert site.looked_up == ["private.evil.org"], "the first is forgotten"


async def test_a_cancellation_passes_and_closes_what_was_open(site: PageServer, checker: LinkChecker) -> None:
    site.pages["/drip"] = drip()

    checking = asyncio.create_task(checker.check([site.url(DOCS, "/drip"), site.url("www.roadmap.org", "/drip")]))
    await eventually(lambda: site.open == 2, "the pages are asked for")
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    await eventually(lambda: site.open == 0, "the connections are closed")


async def test_links_that_are_not_checked_are_unverified_unless_their_spelling_is_forbidden() -> None:
    verdicts = await leave_unchecked(["https://docs.python.org/3/", "https://10.0.0.1/", "https://printer.local/"])

    assert [(verdict.check, verdict.checked_at) for verdict in verdicts.values()] == [
        (LinkCheck.UNVERIFIED, None),
        (LinkCheck.REFUSED, None),
        (LinkCheck.REFUSED, None),
    ]


async def test_checking_is_switched_on_and_off() -> None:
    async with open_links(on=False) as links:
        assert links is leave_unchecked
    async with open_links(on=True) as links:
        # Under the real guard: this machine's names are out of reach, and nobody is called.
        assert (await links(["https://localhost/"]))["https://localhost/"].check is LinkCheck.REFUSED
