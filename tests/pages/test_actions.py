"""What operators do from a page: by a form, answered by a redirect to where they were, and written down."""

import re

import httpx
import pytest
from markup import read_markup
from operators import OLGA, csrf_in
from service import FINGERPRINT, Service, add_dead_job

from roadmap.audit.store import Filters, list_entries
from roadmap.web.pages.notices import Told, with_notice

ACTIONS = "/monitor/actions"


async def post(service: Service, path: str, **fields: str) -> httpx.Response:
    csrf = csrf_in(service.api, service.olga)
    return await service.olga.post(ACTIONS + path, data={"csrf": csrf, "back": "/monitor/failures", **fields})


async def follow(service: Service, answer: httpx.Response) -> str:
    """What the page says above itself."""
    assert answer.status_code == 303, answer.text
    html = (await service.olga.get(answer.headers["location"])).text
    assert read_markup(html).faults == []
    notices = re.search(r'<div id="notices" role="status">(.*?)</div></div></div>', html, re.DOTALL)
    assert notices
    return " ".join(re.sub(r"<[^>]+>", " ", notices[1]).split())


async def audited(service: Service) -> list[tuple[str, str, str]]:
    rows = await list_entries(service.api.db, Filters(actor=OLGA), None, 100)
    return [(row.action, row.actor, row.subject) for row in rows if not row.action.startswith("signed")]


async def states(service: Service) -> list[str]:
    return [row[0] for row in await service.api.db.fetch("SELECT status FROM dead_jobs ORDER BY id")]


async def test_one_dead_job_is_retried_and_gone_from_the_list(own: Service) -> None:
    dead_job_id = own.ids()["dead_job_id"]
    assert FINGERPRINT in (await own.olga.get("/monitor/failures")).text
    answer = await post(own, "/dead-jobs/retry", id=dead_job_id)
    assert await follow(own, answer) == "1 dead job taken up again."
    assert await states(own) == ["retried"]
    assert FINGERPRINT not in (await own.olga.get("/monitor/failures/jobs")).text
    assert await audited(own) == [("dead_jobs_retried", OLGA, dead_job_id)]
    again = await post(own, "/dead-jobs/retry", id=dead_job_id)
    assert (await follow(own, again)).startswith("Nothing was left to retry.")


async def test_a_group_is_discarded_and_others_stay(own: Service) -> None:
    for number in range(3):
        await add_dead_job(own.api.db, f"j{number}")
    answer = await post(own, "/dead-jobs/discard", fingerprint="f" * 16)
    assert await follow(own, answer) == "3 dead jobs discarded."
    assert sorted(await states(own)) == ["dead", "discarded", "discarded", "discarded"]


async def test_what_cannot_be_retried_is_told(own: Service) -> None:
    """Nobody knows how to execute these."""
    for number in range(2):
        await add_dead_job(own.api.db, f"j{number}")
    said = await follow(own, await post(own, "/dead-jobs/retry", all="yes"))
    left = (await states(own)).count("dead")
    assert said.startswith(f"{3 - left} dead job")
    assert (f"{left} dead jobs left as they are" in said) == (left > 0)


SLOW = """
CREATE FUNCTION drowse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3.4); RETURN NULL; END $$;
CREATE TRIGGER drowse AFTER UPDATE ON dead_jobs EXECUTE FUNCTION drowse();
"""


@pytest.mark.slow
async def test_when_the_time_is_up_before_all_were_reached_it_is_told(own: Service) -> None:
    for number in range(601):
        await add_dead_job(own.api.db, f"j{number}")
    await own.api.db.execute(SLOW)
    said = await follow(own, await post(own, "/dead-jobs/discard", fingerprint="f" * 16))
    assert said == "600 dead jobs discarded. The time was up before all were reached: press again for the rest."
    assert (await states(own)).count("dead") == 2


@pytest.mark.parametrize(
    ("told", "tone", "said"),
    [
        (Told("retried", 1_800), "good", "1,800 dead jobs taken up again."),
        (Told("retried", 1_800, more=True), "warn", "1,800 dead jobs taken up again. The time was up"),
        (Told("retried", 1, 2), "warn", "1 dead job taken up again. 2 dead jobs left as they are"),
        (Told("retried", 0, 200, more=True), "warn", "None was dealt with so far. 200 dead jobs left as they are"),
        (Told("retried", 0), "warn", "Nothing was left to retry."),
    ],
)
async def test_a_notice_is_green_only_when_all_is_done(told: Told, tone: str, said: str, service: Service) -> None:
    html = (await service.olga.get(with_notice("/monitor/failures", told))).text
    notice = html.partition('id="notices"')[2].partition('<div class="stack">')[0]
    assert f'class="notice {tone}"' in notice
    assert " ".join(re.sub(r"<[^>]+>", " ", notice.partition(">")[2]).split()).startswith(said)


async def test_a_run_is_canceled_and_its_roadmap_completed(own: Service) -> None:
    ids = own.ids()
    said = await follow(own, await post(own, f"/runs/{ids['run_id']}/cancel"))
    assert said == "The run is canceled."
    page = (await own.olga.get(f"/monitor/roadmaps/{ids['roadmap_id']}")).text
    assert "Make what is missing" in page
    completed = await post(
        own, f"/roadmaps/{ids['roadmap_id']}/complete", back=f"/monitor/roadmaps/{ids['roadmap_id']}"
    )
    assert await follow(own, completed) == "What is missing is being made."
    assert "Make what is missing" not in (await own.olga.get(f"/monitor/roadmaps/{ids['roadmap_id']}")).text
    again = await follow(own, await post(own, f"/roadmaps/{ids['roadmap_id']}/complete"))
    assert again.startswith("Nothing can be made just now")
    assert [action for action, _, _ in await audited(own)] == ["roadmap_completed", "run_canceled"]


async def test_a_queue_is_paused_and_resumed(own: Service) -> None:
    assert "The queue is paused" in await follow(own, await post(own, "/queues/content/pause"))
    page = (await own.olga.get("/monitor/queues")).text
    assert f"by {OLGA}" in page
    assert await follow(own, await post(own, "/queues/content/pause")) == "It was paused already."
    assert await follow(own, await post(own, "/queues/content/resume")) == "The queue goes on."
    assert await follow(own, await post(own, "/queues/content/resume")) == "It was not paused."


@pytest.mark.parametrize(
    "fields",
    [{}, {"all": "no"}, {"fingerprint": "x"}, {"all": "yes", "fingerprint": FINGERPRINT}, {"id": "", "all": "yes"}],
)
async def test_a_form_says_clearly_what_it_means_or_nothing_happens(fields: dict[str, str], service: Service) -> None:
    for action in ("retry", "discard"):
        answer = await post(service, f"/dead-jobs/{action}", **fields)
        assert (answer.status_code, read_markup(answer.text).faults) == (422, [])
    assert await states(service) == ["dead"]


async def test_what_is_not_there_cannot_be_acted_upon(service: Service) -> None:
    nothing = "0" * 32
    for path in (
        f"/runs/run_{nothing}/cancel",
        f"/roadmaps/rm_{nothing}/complete",
        "/queues/web/pause",
        "/runs/x/cancel",
    ):
        assert (await post(service, path)).status_code == 404, path


@pytest.mark.parametrize(
    "back", ["", "//evil.example", "https://evil.example", "/v1/roadmaps", "/monitor\r\nX: y", "/monitorx"]
)
async def test_nobody_is_led_elsewhere_after_an_action(back: str, service: Service) -> None:
    answer = await post(service, "/queues/logs/resume", back=back)
    assert answer.headers["location"].startswith("/monitor?said=")


async def test_a_notice_is_of_our_words_whatever_the_address_says(service: Service) -> None:
    for query in ("said=<b>hacked&done=1", "said=retried&done=<b>", "said=retried&done=" + "9" * 400, "said=__class__"):
        html = (await service.olga.get(f"/monitor/failures?{query}")).text
        assert "hacked" not in re.sub(r'(value|href|data-live)="[^"]*"', "", html)
        assert "999999" not in html.partition('id="notices"')[2]
