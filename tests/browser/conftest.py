"""A real Chromium, and a whole service with a failed piece that it looks at. Skipped where there is no browser."""

import shutil
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from browsing import Guarded, Room, fail_a_tutorial
from inside import open_api, own_database, own_redis, serving
from operators import OLGA, add_account
from whole import open_whole

from roadmap.accounts.model import Role
from roadmap.embedded.servers import LocalServers

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Any]:
    api = pytest.importorskip("playwright.async_api", reason="playwright is not installed: make browser")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium")
    async with api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
async def room(
    chromium: Any,
    servers: LocalServers,
    admin: asyncpg.Connection,
    template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Room]:
    """The service runs as for its users; two roadmaps are there, a tutorial of the first has failed."""
    folder = tmp_path_factory.mktemp("browser")
    async with (
        own_database(servers, admin, template, "browser") as database_url,
        open_whole(folder, database_url, own_redis(servers, 1017), AUTH_MODE="none") as whole,
    ):
        await whole.stack.start("web", "content", "logs")
        await fail_a_tutorial(whole)
        await whole.finish(await whole.create("Learn to paint", size="small"))
        yield Room(chromium, whole)
        assert whole.stack["web"].lines("request_failed") == []
        assert whole.stack["web"].lines("live_view_failed") == []


@pytest.fixture
async def guarded(chromium: Any, database_url: str, redis_url: str) -> AsyncIterator[Guarded]:
    """A service where one signs in. It has no workers."""
    async with open_api(database_url, redis_url) as api, serving(api.state) as url:
        await add_account(api.db, OLGA, Role.OPERATOR)
        yield Guarded(chromium, api, url)
