"""The monitor as people meet it: in a browser, with the mouse, with the keyboard, without a script, in the dark."""

import asyncio
from typing import Any

import pytest
from browsing import Guarded, Room, bury, fail_a_tutorial, is_live

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

# When, by the browser's clock, the page first says this.
SAYS = """
text => new Promise(resolve => {
  const look = () => document.body.innerText.includes(text) && resolve(Date.now());
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
  look();
})
"""


async def test_a_failure_appears_within_a_second_is_retried_with_a_click_and_disappears(room: Room) -> None:
    db = room.whole.db
    async with room.page("/monitor/failures") as page:
        await is_live(page)
        before = await db.fetchval("SELECT count(*) FROM dead_jobs")
        appears = asyncio.ensure_future(page.evaluate(SAYS, f"{before + 1} dead jobs in"))
        roadmap_id = await fail_a_tutorial(room.whole, "Learn to fail and to rise again")
        appeared = await appears
        died = await db.fetchval("SELECT extract(epoch FROM max(died_at)) * 1000 FROM dead_jobs")
        assert appeared - float(died) < 1_000
        await page.get_by_role("button", name="Retry all").click()
        await page.get_by_role("dialog").get_by_role("button", name="Retry all").click()
        await page.get_by_text("Nothing has failed").wait_for()
        await page.get_by_text("dead jobs taken up again").wait_for()
        assert "said=" not in page.url
    assert (await room.whole.finish(roadmap_id))["status"] == "succeeded"
    await fail_a_tutorial(room.whole)  # for those who come next


async def test_from_the_overview_to_a_cause_in_three_clicks_and_its_retry(room: Room) -> None:
    async with room.page("/monitor") as page:
        await page.get_by_role("region", name="Failures right now").locator(".rows a").first.click()
        await page.get_by_role("region", name="Dead jobs").get_by_role("link").first.click()
        await page.get_by_role("heading", name="Cause:").wait_for()
        assert await page.get_by_text("Traceback (most recent call last)").count() == 1
        await page.get_by_role("button", name="Retry this dead job").click()
        await page.get_by_text("1 dead job taken up again").wait_for()
        await page.locator("#live_cause .state").get_by_text("retried").wait_for()
    await fail_a_tutorial(room.whole)


async def test_everything_can_be_done_with_the_keyboard(room: Room) -> None:
    async with room.page("/monitor/queues") as page:
        await is_live(page)
        await page.keyboard.press("Tab")
        assert await focused(page) == "Skip to the content"
        await page.keyboard.press("Enter")
        await tab_to(page, "Pause the queue content")
        await page.keyboard.press("Enter")
        assert await page.get_by_role("dialog").is_visible()
        await page.keyboard.press("Escape")
        assert not await page.get_by_role("dialog").is_visible()
        assert await focused(page) == "Pause the queue content"
        await page.keyboard.press("Enter")
        await tab_to(page, "Pause")
        await page.keyboard.press("Enter")
        await page.get_by_text("The queue is paused").wait_for()
        await page.get_by_role("button", name="Resume the queue content").wait_for()
        await tab_to(page, "Resume the queue content")
        await page.keyboard.press("Enter")
        await page.get_by_text("The queue goes on").wait_for()
        await page.get_by_role("button", name="Pause the queue content").wait_for()


async def focused(page: Any) -> str:
    text: str = await page.evaluate("() => document.activeElement.innerText.replace(/\\s+/g, ' ').trim()")
    return text


async def tab_to(page: Any, name: str) -> None:
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await focused(page) == name:
            return
    pytest.fail(f"the keyboard does not lead to {name}")


async def test_without_a_script_pages_are_read_and_forms_are_sent(room: Room) -> None:
    async with room.page("/monitor/failures", java_script_enabled=False) as page:
        assert await page.get_by_text("Reload to update").is_visible()
        await page.get_by_role("button", name="Retry all").click()
        assert await page.get_by_text("taken up again").is_visible()
        assert await page.get_by_text("Nothing has failed").is_visible()
    await fail_a_tutorial(room.whole)


async def test_what_a_person_holds_survives_what_is_new(room: Room) -> None:
    """Focus, open details, a selected text."""
    async with room.page("/monitor/failures") as page:
        await is_live(page)
        link = page.locator("#live_failures .rows a").first
        await link.focus()
        was = await focused(page)
        await bury(room.whole.db, "held-1", "what is new")
        await page.locator("#live_failures").get_by_text("what is new").wait_for()
        assert await focused(page) == was
        await page.evaluate("() => getSelection().selectAllChildren(document.querySelector('#live_failures .sub'))")
        selected = await page.evaluate("() => getSelection().toString()")
        await bury(room.whole.db, "held-2", "newer still", "e" * 16)
        await page.wait_for_function("() => document.title.startsWith('(3)')")
        assert await page.evaluate("() => getSelection().toString()") == selected
        assert await page.locator("#live_failures").get_by_text("newer still").count() == 0
        await page.evaluate("() => getSelection().removeAllRanges()")
        await page.locator("#live_failures").get_by_text("newer still").wait_for()
    async with room.page("/monitor") as page:
        await is_live(page)
        await page.locator("#minutes summary").click()
        await bury(room.whole.db, "held-3", "newest", "d" * 16)
        await page.get_by_text("newest").wait_for()
        assert await page.locator("#minutes").get_attribute("open") is not None
    await room.whole.db.execute("DELETE FROM dead_jobs WHERE job_id LIKE 'held-%'")


async def test_who_loses_the_connection_is_told_and_goes_on_by_itself(room: Room) -> None:
    async with room.page("/monitor/failures", noisy=True) as page:
        await is_live(page)
        await page.route("**/monitor/live*", lambda route: route.abort())
        await page.evaluate("() => live.open()")
        await page.wait_for_selector("#pulse[data-state=lost]")
        assert await page.locator("#pulse").inner_text() == "Reconnecting …"
        await page.unroute("**/monitor/live*")
        await is_live(page)


async def test_who_comes_back_after_the_session_has_ended_is_asked_to_sign_in(guarded: Guarded) -> None:
    async with guarded.signed_in("/monitor/failures") as page:
        await is_live(page)
        await page.evaluate("() => live.close()")  # as while the tab is hidden
        await guarded.end_sessions()
        await page.evaluate("() => live.open()")
        await page.get_by_role("heading", name="Sign in").wait_for()
        assert page.url.endswith("/monitor/sign-in?next=%2Fmonitor%2Ffailures")


async def test_what_leaves_a_list_takes_nobody_s_focus_away(room: Room) -> None:
    db, first, second = room.whole.db, "a1" * 8, "a2" * 8
    async with room.page("/monitor/failures") as page:
        await is_live(page)
        for number in range(3):
            await bury(db, f"leaves-{number}", "leaves first", first)
        await bury(db, "leaves-3", "leaves later", second)
        await page.locator(f"#live_failures [data-key='{second}'] a").focus()
        await page.evaluate("() => { window.lost = 0; addEventListener('focusout', () => { window.lost += 1; }); }")
        await db.execute("DELETE FROM dead_jobs WHERE fingerprint = $1", first)
        await page.locator(f"#live_failures [data-key='{first}']").wait_for(state="detached")
        assert await page.evaluate("() => [window.lost, document.activeElement.innerText]") == [0, "unknown function"]
        await db.execute("DELETE FROM dead_jobs WHERE fingerprint = $1", second)
        await page.locator(f"#live_failures [data-key='{second}']").wait_for(state="detached")
        assert await page.evaluate("() => document.activeElement.id") == "live_failures"
        await bury(db, "leaves-4", "comes after", first)
        await page.locator("#live_failures").get_by_text("comes after").wait_for()
        await page.evaluate("() => new Promise(requestAnimationFrame)")
        assert await page.evaluate("() => document.activeElement.id") == "live_failures"
    await db.execute("DELETE FROM dead_jobs WHERE job_id LIKE 'leaves-%'")


# Something is selected, and gives way to what is sent then; what came while it was selected is older.
PUT_TWICE = """
() => {
  live.close();
  getSelection().selectAllChildren(document.querySelector("#live_failures h2"));
  put("live_failures", '<section id="live_failures">older</section>');
  getSelection().removeAllRanges();
  put("live_failures", '<section id="live_failures">newer</section>');
  return new Promise((resolve) => document.addEventListener("selectionchange", () => setTimeout(resolve)));
}
"""


async def test_what_waited_is_not_put_over_what_is_newer(room: Room) -> None:
    async with room.page("/monitor/failures") as page:
        await is_live(page)
        await page.evaluate(PUT_TWICE)
        assert await page.locator("#live_failures").inner_text() == "newer"


async def test_an_action_that_no_answer_came_to_is_told_as_such_and_the_page_goes_on(room: Room) -> None:
    async with room.page("/monitor/queues", noisy=True) as page:
        await is_live(page)
        await page.route("**/monitor/actions/**", lambda route: route.abort())
        await page.get_by_role("button", name="Pause the queue logs").click()
        await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        await page.locator("#notices").get_by_text("Not sent").wait_for()
        assert await page.locator("#pulse").inner_text() == "Live"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_is_fit_for_everybody(room: Room, scheme: str) -> None:
    """By axe-core's rules: contrast, names, roles, landmarks, tables."""
    axe = pytest.importorskip("axe_playwright_python.async_playwright").Axe()
    found = {}
    async with room.page("/monitor", color_scheme=scheme, reduced_motion="reduce") as page:
        for name, path in (await room.paths()).items():
            await page.goto(path)
            await is_live(page)
            results = await axe.run(page)
            if results.response["violations"]:
                found[name] = [
                    (fault["id"], [element["html"][:200] for element in fault["nodes"][:3]])
                    for fault in results.response["violations"]
                ]
    assert found == {}


async def test_every_view_fits_a_telephone(room: Room) -> None:
    async with room.page("/monitor", viewport={"width": 380, "height": 760}) as page:
        for path in (await room.paths()).values():
            await page.goto(path)
            wide = await page.evaluate("() => document.scrollingElement.scrollWidth")
            assert wide <= 380, path


async def test_the_theme_follows_the_system_until_it_is_chosen(room: Room) -> None:
    async def ground(page: Any) -> str:
        colour: str = await page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        return colour

    async with room.page("/monitor", color_scheme="dark") as page:
        dark = await ground(page)
        await page.emulate_media(color_scheme="light")
        light = await ground(page)
        assert dark != light
        button = page.get_by_role("button", name="Theme")
        await button.click()
        await button.click()
        assert await ground(page) == dark
        await page.reload()
        assert await ground(page) == dark
        await button.click()
        assert await ground(page) == light


async def test_nothing_of_a_page_comes_from_elsewhere(room: Room) -> None:
    asked: list[str] = []
    async with room.page("/monitor") as page:
        page.on("request", lambda request: asked.append(request.url))
        for path in (await room.paths()).values():
            await page.goto(path)
    assert asked
    assert [url for url in asked if not url.startswith((room.whole.stack.web_url, "data:"))] == []
