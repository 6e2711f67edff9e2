"""Every view over HTTP: it is shown with real rows, strictly, escaped, and to each what is for them."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from inside import open_api
from markup import read_markup
from service import EVIL, Service, add_dead_job
from tcp_proxy import tcp_proxy

from roadmap.ids import Prefix, new_id, show_id
from roadmap.monitor.looks import Looks
from roadmap.monitor.model import SpanFigures
from roadmap.monitor.service import read_functions, read_run
from roadmap.web.pages.assets import read_folder
from roadmap.web.pages.frame import Frame, View
from roadmap.web.pages.rendering import environment, fragments
from roadmap.web.pages.timeline import timeline
from roadmap.web.pages.views import VIEWS

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
every_view = pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.path)


async def show(client: httpx.AsyncClient, path: str, status: int = 200) -> str:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text[-500:]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-store"
    page = read_markup(answer.text)
    assert page.faults == []
    return answer.text


@every_view
async def test_a_view_is_shown_and_nothing_comes_through(view: View, service: Service) -> None:
    html = await show(service.olga, view.path.format(**service.ids()))
    assert "evil.example>" not in html
    assert "onerror=alert(1)>" not in html
    forms = re.findall(r"<form[^>]*method=\"post\".*?</form>", html, re.DOTALL)
    assert forms
    assert all('name="csrf" value="' in form for form in forms)


SHOWING = ("", "/runs", "/runs/{run_id}", "/failures", "/roadmaps/{roadmap_id}", "/failures/{dead_job_id}", "/model")


@pytest.mark.parametrize("path", SHOWING)
async def test_what_was_hostile_is_shown_as_text(path: str, service: Service) -> None:
    page = read_markup(await show(service.olga, f"/monitor{path}".format(**service.ids())))
    assert EVIL[:30] in page.text


@every_view
async def test_a_viewer_sees_it_and_no_button_that_acts(view: View, service: Service) -> None:
    html = await show(service.vera, view.path.format(**service.ids()))
    assert "formaction" not in html
    assert "vera@example.org" in html


@every_view
def test_each_live_piece_is_one_element_of_its_name(view: View) -> None:
    found = environment().get_template(view.template)
    names = [name for name in found.blocks if name.startswith("live_")]
    source, _, _ = environment().loader.get_source(environment(), view.template)  # type: ignore[union-attr]
    assert names
    for name in names:
        opening = re.search(rf"{{% block {name} %}}\s*<(\w+) id=\"{name}\"", source)
        assert opening, name


@every_view
async def test_without_redis_every_view_is_shown_and_says_so(view: View, service: Service) -> None:
    runtime = service.api.state.runtime
    url = runtime.settings.database_url.get_secret_value()
    async with open_api(url, "redis://127.0.0.1:1/0", auth_mode="none") as api:
        html = await show(api.nobody, view.path.format(**service.ids()))
    if view.path in {"/monitor", "/monitor/queues", "/monitor/queues/{queue}", "/monitor/system"}:
        assert "Redis does not answer" in html


async def test_while_postgresql_is_away_a_page_says_so(database_url: str, redis_url: str) -> None:
    host, port = database_url.rpartition("/")[0].rpartition("@")[2].split(":")
    async with (
        tcp_proxy(host, int(port)) as proxy,
        open_api(proxy.through(database_url), redis_url, auth_mode="none") as api,
    ):
        await show(api.nobody, "/monitor")
        proxy.refuse()
        html = await show(api.nobody, "/monitor/audit", 503)
        assert "Nothing is lost" in html
        assert (await api.nobody.get("/v1/roadmaps")).headers["content-type"] == "application/problem+json"


async def test_what_is_not_there_is_a_page_with_the_request_s_id(service: Service) -> None:
    nothing = "0" * 32
    paths = ["/monitor/nowhere", "/monitor/queues/none", f"/monitor/runs/run_{nothing}", "/monitor/runs/x",
             f"/monitor/roadmaps/rm_{nothing}", f"/monitor/failures/dead_{nothing}", "/monitor/failures/groups/%00",
             "/monitor/static/monitor.000000000000.css"]  # fmt: skip
    for path in paths:
        answer = await service.olga.get(path)
        assert answer.status_code == 404, path
        assert read_markup(answer.text).faults == []
        assert answer.headers["x-request-id"] in answer.text
        assert answer.headers["content-security-policy"] == POLICY
    programs = await service.olga.get("/v1/nowhere")
    assert programs.headers["content-type"] == "application/problem+json"


async def test_who_may_not_is_told_by_a_page(service: Service) -> None:
    answer = await service.vera.post("/monitor/actions/dead-jobs/retry", data={"csrf": "x"})
    assert (answer.status_code, read_markup(answer.text).faults) == (403, [])
    assert "only an operator" in answer.text.lower()


async def test_a_fault_of_ours_is_a_page_and_not_its_traceback(own: Service) -> None:
    await own.api.db.execute("ALTER TABLE audit_log RENAME TO elsewhere")
    answer = await own.olga.get("/monitor/audit")
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in answer.text
    assert "elsewhere" not in answer.text
    assert "Traceback" not in answer.text


async def test_runs_are_found_by_every_filter(service: Service) -> None:
    ids = service.ids()
    hits = ["status=writing", "kind=create", f"id={ids['run_id']}", f"id={ids['roadmap_id']}", "from=2020-01-01T00:00",
            "to=2999-01-01T00:00"]  # fmt: skip
    misses = ["status=failed", "kind=complete", "error=model_malformed", "id=run_" + "0" * 32, "to=2020-01-01T00:00",
              "learner=nobody@example.org"]  # fmt: skip
    for query in hits:
        assert ids["run_id"] in await show(service.olga, f"/monitor/runs?{query}"), query
    for query in misses:
        html = await show(service.olga, f"/monitor/runs?{query}")
        assert ids["run_id"] not in html.replace(query.partition("=")[2], ""), query


@pytest.mark.parametrize(
    "query", ["status=nonsense", "id=nonsense", "from=yesterday", "after=nonsense", "learner=usr_x"]
)
async def test_what_cannot_be_looked_for_is_said_in_its_place(query: str, service: Service) -> None:
    assert "cannot be looked for" in await show(service.olga, f"/monitor/runs?{query}")


async def test_a_null_character_is_refused(service: Service) -> None:
    for path in ("/monitor/runs?learner=%00", "/monitor/failures/jobs?code=%00", "/monitor/audit?actor=%00"):
        assert (await service.olga.get(path)).status_code == 422


async def test_long_lists_have_pages(own: Service) -> None:
    for number in range(60):
        await add_dead_job(own.api.db, f"j{number}", f"number {number:02}.")
    first = await show(own.olga, "/monitor/failures/jobs")
    following = re.search(r'rel="next" href="(\?[^"]+)"', first)
    assert following
    second = await show(own.olga, "/monitor/failures/jobs" + following[1].replace("&amp;", "&"))
    assert "number 59." in first
    assert "number 59." not in second
    assert "number 00." in second
    assert 'rel="next"' not in second


async def test_from_a_later_page_one_gets_back_to_the_newest_of_the_same(own: Service) -> None:
    for number in range(60):
        await add_dead_job(own.api.db, f"j{number}", f"number {number:02}.")
    first = await show(own.olga, "/monitor/failures/jobs?status=dead&function=unheard_of")
    assert "Newest" not in first
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = await show(own.olga, "/monitor/failures/jobs" + following[1].replace("&amp;", "&"))
    newest = re.search(r'href="([^"]*)">Newest', second)
    assert newest
    assert newest[1].replace("&amp;", "&") == "?status=dead&function=unheard_of"


async def test_of_many_buttons_each_is_told_by_what_it_is_for(service: Service) -> None:
    page = read_markup(await show(service.olga, "/monitor/failures"))
    dead_job_id = service.ids()["dead_job_id"]
    [button] = [one for one in page.all("button") if one.get("value") == dead_job_id]
    assert button["aria-describedby"] == f"of-{dead_job_id}"
    assert f"of-{dead_job_id}" in {head.get("id") for head in page.all("th")}
    kind = await service.api.db.fetchval("SELECT kind FROM dead_jobs WHERE fingerprint IS NOT NULL LIMIT 1")
    assert f"Retry the {kind} that died of model malformed" in page.text


LINE = """
INSERT INTO execution_log (id, at, run_id, concept_id, level, category, message, details)
VALUES ($1, now(), $2, $3, 'info', 'content', $4, '{}')
"""


async def test_a_dead_job_shows_the_last_lines_about_its_concept(own: Service) -> None:
    db, path = own.api.db, f"/monitor/failures/{own.ids()['dead_job_id']}"
    concept_id = await db.fetchval("SELECT concept_id FROM dead_jobs")
    assert "Nothing was logged" in await show(own.olga, path)
    for number in range(12):
        await db.execute(LINE, new_id(), own.run, concept_id, f"its line {number:02} {EVIL}")
    await db.execute(LINE, new_id(), own.run, new_id(), "of another concept")
    html = await show(own.olga, path)
    assert [f"its line {number:02}" in html for number in range(12)] == [False] * 2 + [True] * 10
    assert html.index("its line 10") < html.index("its line 11")
    assert "of another concept" not in html


async def test_the_system_shows_each_pool_once_and_who_waits(own: Service) -> None:
    """A process with two roles has two heartbeats."""
    for process in ("web", "content", "logs"):
        await own.api.db.execute(BEAT, f"{process}-h-7", process, 7 if process != "logs" else 8)
    page = read_markup(await show(own.olga, "/monitor/system"))
    assert "Held by our pools10, 4 in use" in page.text
    assert "Wait for one here0" in page.text


BEAT = """
INSERT INTO workers (name, process, host, pid, version, started_at, running, loop_lag_ms, memory_bytes, connections,
                     connections_used, log_waiting, log_dropped)
VALUES ($1, $2, 'h', $3, '0', now(), 0, 1, 1000, 5, 2, 0, 0)
"""


async def test_two_concepts_of_one_title_have_a_lane_each(service: Service) -> None:
    view = await read_run(service.api.db, service.run)
    first, second = (
        replace(view.calls[0], concept_id=show_id(Prefix.CONCEPT, new_id()), concept_title="Joins") for _ in range(2)
    )
    drawn = timeline(replace(view, calls=(first, second, first)))
    assert "3 questions to the model in 2 lanes" in drawn
    assert drawn.count('class="lane"') == 2


async def test_when_figures_of_a_minute_change_the_charts_of_a_week_do_not(service: Service) -> None:
    """They are by far the largest piece of that page."""
    [one, *_] = (await read_functions(service.api.db, Looks())).data
    busy = replace(one, hour=SpanFigures(9, 9, 0, 0, 0.0, *(1.0,) * 6))
    page = Frame("Functions", "functions", "/monitor/functions", datetime.now(UTC))
    before, after = (
        dict(fragments("functions.html", {"page": page, "functions": (which,), "may": True})) for which in (one, busy)
    )
    assert {name for name in before if before[name] != after[name]} == {"live_functions"}
    assert "<svg" not in after["live_functions"]
    assert after["live_week"].count("<svg") > 2


def test_what_an_editor_leaves_beside_the_script_is_no_asset(tmp_path: Path) -> None:
    for name in ("monitor.css", ".monitor.css.swp", "monitor.js~", "README"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".#monitor.js").symlink_to("olga@host.1234")
    assert set(read_folder(tmp_path)) == {"monitor.css"}


async def test_style_script_and_icon_are_kept_for_ever(service: Service) -> None:
    html = await show(service.olga, "/monitor")
    paths = set(re.findall(r'"(/monitor/static/[^"]+)"', html))
    assert len(paths) == 3
    for path in paths:
        answer = await service.api.nobody.get(path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        again = await service.api.nobody.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
