"""A concept is written with its links checked, at a real local HTTPS server, in a real run."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from model_server import Behaviour, ModelServer, answer
from page_server import PageServer, page, page_server, redirect
from whole import offline
from worker_here import WritingRun, open_tools, run_of, writing_run

from roadmap.content.links import LinkChecker
from roadmap.content.store import body_of
from roadmap.database import Database
from roadmap.llm.client import Endpoint
from roadmap.outbound.fetch import open_fetcher
from roadmap.roadmaps.model import Kind
from roadmap.runs.write import write_concept

DOCS = "docs.roadmap.org"


@pytest.fixture
async def site() -> AsyncIterator[PageServer]:
    async with page_server() as running:
        running.pages |= {"/ok": page(), "/busy": page(503), "/inside": redirect("https://169.254.169.254/")}
        yield running


def naming(site: PageServer, *paths: str) -> Behaviour:
    common = {"title": "A page", "kind": "documentation", "language": "en", "why": "It is complete."}
    return answer({"resources": [{**common, "url": site.url(DOCS, path)} for path in paths]})


async def write(database: Database, redis_url: str, server: ModelServer, site: PageServer) -> WritingRun:
    server.default = offline()
    run = await writing_run(database)
    async with (
        open_fetcher(site.guard, site.look_up, site.trust) as fetcher,
        open_tools(database, redis_url, Endpoint("small", server.url)) as tools,
    ):
        checking = replace(tools, links=LinkChecker(fetcher).check)
        await write_concept(checking, run.id, run.concepts[0])
    return run


async def test_checked_resources_are_stored_with_what_was_left_out(
    database: Database, redis_url: str, server: ModelServer, site: PageServer
) -> None:
    server.script(naming(site, "/gone", "/busy", "/inside"), naming(site, "/ok"), purpose="resources")

    run = await write(database, redis_url, server, site)

    body = await body_of(database, run.roadmap_id, run.concepts[0], Kind.RESOURCES)
    assert body is not None
    assert {resource["url"]: resource["check"] for resource in body["resources"]} == {
        site.url(DOCS, "/busy"): "unverified",
        site.url(DOCS, "/ok"): "verified",
    }
    assert body["rejected"] == [
        {"url": site.url(DOCS, "/gone"), "check": "dead"},
        {"url": site.url(DOCS, "/inside"), "check": "refused"},
    ]
    assert (await run_of(database, run.id))["status"] == "succeeded"
    calls = await database.fetch("SELECT status FROM model_calls WHERE run_id = $1 AND purpose = 'resources'", run.id)
    assert [call["status"] for call in calls] == ["ok", "ok"]


async def test_resources_of_which_none_is_there_are_tried_again_and_cost_the_others_nothing(
    database: Database, redis_url: str, server: ModelServer, site: PageServer
) -> None:
    server.script(naming(site, "/gone"), naming(site, "/inside"), purpose="resources")

    run = await write(database, redis_url, server, site)

    pieces = {kind: await run.piece(kind) for kind in Kind}
    assert [pieces[kind]["status"] for kind in (Kind.TUTORIAL, Kind.RESOURCES, Kind.QUIZ)] == [
        "ready",
        "pending",
        "ready",
    ]
    assert pieces[Kind.RESOURCES]["failures"] == 1
    calls = await database.fetch("SELECT status FROM model_calls WHERE run_id = $1 AND purpose = 'resources'", run.id)
    assert [call["status"] for call in calls] == ["ok", "ok"]
