"""GET /monitor/live: what changes in a view, streamed to all who watch it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from httpx_sse import aconnect_sse
from inside import open_api, serving
from markup import read_markup
from operators import OLGA, VERA
from service import Service, add_dead_job
from tcp_proxy import tcp_proxy
from waiting import eventually

from roadmap.errors import NotFound, TooMany
from roadmap.ids import new_id
from roadmap.web.pages.frame import Ask, Seen, Tools, View
from roadmap.web.pages.live import (
    AT_ONCE,
    MOST_LISTENERS,
    MOST_LISTENERS_OF_ONE,
    MOST_OF_THE_TIME,
    Listener,
    pause_after,
)
from roadmap.web.pages.views import VIEWS, find_view

FAILURES = "/monitor/failures"


class Watching:
    """The messages of one stream, as they come. How soon they do is measured in a browser (tests/browser)."""

    def __init__(self, messages: AsyncIterator[Any]) -> None:
        self._messages = messages

    async def until(self, name: str, holding: str = "", within: float = 20.0) -> dict[str, Any]:
        """The next message of this name that holds this text."""
        async with asyncio.timeout(within):
            async for message in self._messages:
                if message.event == name and holding in message.data:
                    content: dict[str, Any] = message.json()
                    return content
        pytest.fail(f"the stream ended before {name} {holding}")

    async def pieces(self) -> dict[str, str]:
        """All until the page is told to be live."""
        found: dict[str, str] = {}
        async with asyncio.timeout(20):
            async for message in self._messages:
                if message.event == "state":
                    return found
                if message.event == "piece":
                    found[message.json()["id"]] = message.json()["html"]
        pytest.fail("the stream ended")


@asynccontextmanager
async def watching(url: str, client: httpx.AsyncClient, view: str) -> AsyncIterator[Watching]:
    """As the browser in which this client is signed in."""
    cookies = {cookie.name: cookie.value or "" for cookie in client.cookies.jar}
    async with httpx.AsyncClient(base_url=url, cookies=cookies, timeout=30) as browser:
        path = f"/monitor/live?view={quote(view)}"
        async with aconnect_sse(browser, "GET", path) as source:
            assert source.response.status_code == 200
            yield Watching(source.aiter_sse())


@pytest.fixture(scope="module")
async def url(service: Service) -> AsyncIterator[str]:
    """The shared service on a socket, with cookies that hold there."""
    async with serving(service.api.state) as base:
        yield base
        await eventually(lambda: service.api.state.live.readers() == 0, "no reader is left behind")


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.path)
async def test_a_stream_begins_with_every_piece_of_its_view(view: Any, service: Service, url: str) -> None:
    path = view.path.format(**service.ids())
    page = read_markup((await service.olga.get(path)).text)
    async with watching(url, service.olga, path) as stream:
        pieces = await stream.pieces()
    ids = {attributes["id"] for _, attributes in page.elements if attributes.get("id", "").startswith("live_")}
    assert set(pieces) == ids
    for name, html in pieces.items():
        piece = read_markup(html)
        assert [fault for fault in piece.faults if "act" not in fault] == []  # the form is outside
        assert piece.elements[0][1]["id"] == name
        assert "csrf" not in html


async def test_a_failure_shows_by_itself_and_so_does_its_end(own: Service) -> None:
    async with serving(own.api.state) as url, watching(url, own.olga, FAILURES) as stream:
        assert "later-fault" not in (await stream.pieces())["live_failures"]
        await add_dead_job(own.api.db, "j1", "later-fault")
        await stream.until("piece", "later-fault")
        assert (await stream.until("title"))["text"] == "(2) Failures · Roadmap"
        await own.api.db.execute("UPDATE dead_jobs SET status = 'discarded', resolved_at = now() WHERE job_id = 'j1'")
        gone = await stream.until("title", "(1)")
    assert gone["text"].startswith("(1)")


async def test_a_run_that_gets_a_title_has_it_as_its_heading(own: Service) -> None:
    path = f"/monitor/runs/{own.ids()['run_id']}"
    async with serving(own.api.state) as url, watching(url, own.olga, path) as stream:
        await stream.pieces()
        await own.api.db.execute("UPDATE roadmaps SET title = 'Planned by now'")
        piece = await stream.until("piece", "Planned by now")
    assert (piece["id"], piece["html"]) == ("live_title", '<h1 id="live_title">Planned by now</h1>')


async def test_what_did_not_change_is_not_sent_again(service: Service, url: str) -> None:
    async with watching(url, service.olga, FAILURES) as stream:
        await stream.pieces()
        with pytest.raises(TimeoutError):
            await stream.until("piece", "live_tally", within=2)


async def test_a_viewer_s_pieces_have_no_buttons(service: Service, url: str) -> None:
    async with watching(url, service.vera, FAILURES) as hers, watching(url, service.olga, FAILURES) as his:
        assert "formaction" not in (await hers.pieces())["live_failures"]
        assert "formaction" in (await his.pieces())["live_failures"]


async def test_all_who_watch_a_view_share_its_reader_and_nobody_costs_nothing(service: Service, url: str) -> None:
    live = service.api.state.live
    await eventually(lambda: live.readers() == 0, "nobody watches")
    opened: list[Watching] = []  # one that nobody holds is closed
    async with AsyncExitStack() as streams:
        for query in ("", "?unheard=of"):
            for client in (service.olga, service.vera):
                opened.append(await streams.enter_async_context(watching(url, client, FAILURES + query)))
                await opened[-1].pieces()
        assert (live.count(), live.readers()) == (4, 1)
    await eventually(lambda: (live.count(), live.readers()) == (0, 0), "nobody watches, nothing is read")


async def test_a_session_that_ends_ends_its_stream(own: Service) -> None:
    db, roster = own.api.db, own.api.state.roster
    async with (
        serving(own.api.state) as url,
        watching(url, own.vera, FAILURES) as hers,
        watching(url, own.olga, FAILURES) as his,
    ):
        await hers.pieces()
        await his.pieces()
        await db.execute("UPDATE users SET session_generation = session_generation + 1 WHERE email = $1", VERA)
        await db.execute("UPDATE users SET role = 'viewer' WHERE email = $1", OLGA)
        for row in await db.fetch("SELECT id FROM users"):
            roster.forget(row["id"])  # as by itself after five seconds
        await hers.until("reload", within=15)
        await his.until("reload", within=15)


async def test_a_process_that_stops_says_bye(own: Service) -> None:
    async with serving(own.api.state) as url, watching(url, own.olga, FAILURES) as stream:
        await stream.pieces()
        own.api.state.live.close()
        await stream.until("bye", within=5)
        async with watching(url, own.olga, FAILURES) as late:
            await late.until("bye", within=5)


async def test_what_is_watched_and_goes_is_loaded_anew(own: Service) -> None:
    path = f"/monitor/roadmaps/{own.ids()['roadmap_id']}"
    async with serving(own.api.state) as url, watching(url, own.olga, path) as stream:
        await stream.pieces()
        await own.api.db.execute("DELETE FROM roadmaps")
        await stream.until("reload", within=10)


async def test_a_view_that_cannot_be_shown_is_told_so_and_the_others_go_on(own: Service) -> None:
    async with (
        serving(own.api.state) as url,
        watching(url, own.olga, "/monitor/audit") as audit,
        watching(url, own.olga, FAILURES) as failures,
    ):
        await asyncio.gather(audit.pieces(), failures.pieces(), return_exceptions=False)
        await own.api.db.execute("ALTER TABLE audit_log RENAME TO elsewhere")
        assert (await audit.until("state"))["state"] == "degraded"
        await add_dead_job(own.api.db, "j1", "later-fault")
        await failures.until("piece", "later-fault")
        await own.api.db.execute("ALTER TABLE elsewhere RENAME TO audit_log")
        assert (await audit.until("state"))["state"] == "live"


async def test_while_postgresql_is_away_a_page_keeps_what_it_shows_and_says_so(
    database_url: str, redis_url: str
) -> None:
    host, port = database_url.rpartition("/")[0].rpartition("@")[2].split(":")
    async with (
        tcp_proxy(host, int(port)) as proxy,
        open_api(proxy.through(database_url), redis_url, auth_mode="none") as api,
        serving(api.state) as url,
        watching(url, api.nobody, FAILURES) as stream,
    ):
        await stream.pieces()
        proxy.refuse()
        assert (await stream.until("state"))["state"] == "degraded"
        proxy.calm()
        assert (await stream.until("state"))["state"] == "live"


@pytest.mark.parametrize(
    "view", ["", "/monitor/live", "/v1/roadmaps", "/monitor/nowhere", "/monitor?" + "a=b&" * 100, "x" * 9_000]
)
async def test_only_views_are_streamed(view: str, service: Service) -> None:
    answer = await service.olga.get("/monitor/live", params={"view": view})
    assert answer.status_code == 404


async def test_a_head_request_opens_no_stream(service: Service, url: str) -> None:
    cookies = {cookie.name: cookie.value or "" for cookie in service.olga.cookies.jar}
    async with httpx.AsyncClient(base_url=url, cookies=cookies, timeout=10) as browser:
        answer = await browser.head("/monitor/live", params={"view": FAILURES})
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert (await browser.get("/monitor/workers")).status_code == 200  # by the same connection
        assert service.api.state.live.count() == 0


async def test_listeners_are_bounded(service: Service) -> None:
    live = service.api.state.live
    view, ask = find_view(FAILURES, {})
    async with AsyncExitStack() as listeners:
        for _ in range(MOST_LISTENERS):
            await listeners.enter_async_context(live.listen(view, ask, new_id(), operates=True))
        with pytest.raises(TooMany, match="too many pages"):
            live.require_room(new_id())
        answer = await service.olga.get("/monitor/live", params={"view": FAILURES})
        assert answer.status_code == 429
    assert live.count() == 0


async def test_one_person_cannot_take_every_stream(service: Service) -> None:
    live, db = service.api.state.live, service.api.db
    olga = await db.fetchval("SELECT id FROM users WHERE email = $1", OLGA)
    async with AsyncExitStack() as listeners:
        for number in range(MOST_LISTENERS_OF_ONE):
            view, ask = find_view(f"{FAILURES}/jobs", {"code": str(number)})
            await listeners.enter_async_context(live.listen(view, ask, olga, operates=True))
        assert live.count(olga) == MOST_LISTENERS_OF_ONE
        for client, status in ((service.olga, 429), (service.vera, 200)):
            assert (await client.head("/monitor/live", params={"view": FAILURES})).status_code == status


@dataclass(slots=True)
class Slow:
    """A view that is read for as long as it is held."""

    let: asyncio.Event = field(default_factory=asyncio.Event)
    now: int = 0
    most: int = 0

    async def read(self, _tools: Tools, _ask: Ask) -> Seen:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.let.wait()
        finally:
            self.now -= 1
        raise NotFound("it showed long enough")

    def view(self) -> View:
        return View("/slow", "Slow", "overview", "overview.html", self.read)


@asynccontextmanager
async def many_watch(service: Service, slow: Slow) -> AsyncIterator[list[Listener]]:
    """Three for each that may read at once, each at an address of its own."""
    live = service.api.state.live
    async with AsyncExitStack() as stack:
        rooms = [live.listen(slow.view(), Ask(f"/slow/{place}", {}, {}), new_id(), operates=True) for place in range(6)]
        yield [await stack.enter_async_context(room) for room in rooms]
    slow.let.set()
    await eventually(lambda: live.readers() == 0, "nobody watches, nothing is read")


async def test_readers_take_turns(service: Service) -> None:
    slow = Slow()
    async with many_watch(service, slow) as listeners:
        await eventually(lambda: slow.now == AT_ONCE, "the first of them read")
        slow.let.set()
        assert [await listener.take(10) for listener in listeners] == [[("reload", {})]] * len(listeners)
    assert slow.most == AT_ONCE


async def test_who_waits_long_for_a_turn_is_told(service: Service) -> None:
    slow = Slow()
    async with many_watch(service, slow) as listeners:
        told = [content["text"] for listener in listeners for _, content in await listener.take(15)]
    assert set(told) == {"The database does not answer", "Updates are late"}


@pytest.mark.parametrize("readers", [1, 4, 30, 400])
@pytest.mark.parametrize("took", [0.002, 0.02, 0.06])
def test_all_readers_together_take_a_share_of_the_time(readers: int, took: float) -> None:
    assert readers * took / (took + pause_after(took, readers)) <= MOST_OF_THE_TIME


def test_a_reading_that_waited_makes_no_page_stand_still() -> None:
    assert pause_after(5.0, 1) <= 5
    assert pause_after(5.0, 40) <= 10


async def test_what_waits_for_a_slow_listener_is_the_latest_of_each_piece(service: Service) -> None:
    view, _ = find_view(FAILURES, {})
    async with service.api.state.live.listen(view, Ask(FAILURES, {}, {}), new_id(), operates=True) as listener:
        for number in range(1_000):
            listener.offer("piece", id="live_x", html=str(number))
        listener.offer("piece", id="live_x", html="999")
        mine = [content["html"] for name, content in await listener.take(1) if content.get("id") == "live_x"]
        assert mine == ["999"]
        listener.offer("piece", id="live_x", html="999")
        messages = [content for _, content in await listener.take(0.05) if content.get("id") == "live_x"]
        assert messages == []
