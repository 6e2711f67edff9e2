"""Who may see a page and send its forms. Walks the table of pages: a new one is covered."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from inside import Api, in_process, open_api
from operators import OLGA, VERA, add_account, csrf_in, sign_in
from test_ownership import BODIES, name_of

from roadmap.accounts.model import Role
from roadmap.web.pages.access import Page
from roadmap.web.pages.routes import PAGES
from roadmap.web.routes import OPERATIONS

PUBLIC_PAGES = {"GET /monitor/static/{name}", "GET /monitor/sign-in", "POST /monitor/sign-in"}
GUARDED = [page for page in PAGES if page.role is not None]


def title(page: Page) -> str:
    return f"{page.method} {page.path}"


def path_of(page: Page) -> str:
    """Nothing is there under these names: who may ask is decided before."""
    return re.sub(r"{\w+(:\w+)?}", "nothing", page.path)


every_page = pytest.mark.parametrize("page", GUARDED, ids=title)
every_form = pytest.mark.parametrize("page", [page for page in GUARDED if page.method == "POST"], ids=title)


@pytest.fixture(scope="module")
async def api(api: Api) -> Api:
    await add_account(api.db, OLGA, Role.OPERATOR)
    await add_account(api.db, VERA, Role.VIEWER)
    return api


@pytest.fixture(scope="module")
async def olga(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(api.state) as client:
        assert (await sign_in(client, OLGA)).status_code == 303
        yield client


@pytest.fixture(scope="module")
async def foreign(api: Api) -> AsyncIterator[str]:
    """The token of another session of hers."""
    async with in_process(api.state) as client:
        assert (await sign_in(client, OLGA)).status_code == 303
        yield csrf_in(api, client)


@pytest.fixture(scope="module")
async def vera(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(api.state) as client:
        assert (await sign_in(client, VERA)).status_code == 303
        yield client


def test_every_page_has_a_role_unless_it_is_declared_public() -> None:
    assert {title(page) for page in PAGES if page.role is None} == PUBLIC_PAGES
    assert {page.role for page in GUARDED} <= {Role.VIEWER, Role.OPERATOR}
    assert {page.method for page in PAGES} == {"GET", "POST"}
    assert all(page.path == "/monitor" or page.path.startswith("/monitor/") for page in PAGES)


def test_what_changes_anything_is_for_operators() -> None:
    assert {title(page) for page in GUARDED if page.method == "POST" and page.role is not Role.OPERATOR} <= {
        "POST /monitor/sign-out"
    }


@every_page
async def test_without_a_session_a_page_leads_to_the_sign_in_and_the_rest_is_refused(page: Page, api: Api) -> None:
    for client in (api.nobody, api.alice):  # an API key opens no page
        answer = await client.request(page.method, path_of(page))
        if page.method == "POST":
            assert answer.status_code == 401
        else:
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/monitor/sign-in")
            streamed = await client.get(path_of(page), headers={"accept": "text/event-stream"})
            assert streamed.status_code == 401


@every_page
async def test_a_viewer_may_see_and_not_act(page: Page, api: Api, vera: httpx.AsyncClient) -> None:
    if page.role is Role.OPERATOR:
        answer = await vera.request(page.method, path_of(page), data={"csrf": csrf_in(api, vera)})
        assert answer.status_code == 403


@every_form
async def test_a_form_needs_the_token_of_its_own_session(page: Page, foreign: str, olga: httpx.AsyncClient) -> None:
    for fields in ({}, {"csrf": ""}, {"csrf": "x"}, {"csrf": foreign}):
        answer = await olga.post(path_of(page), data=fields)
        assert answer.status_code in {403, 415}, fields
    assert (await olga.get("/monitor/sign-in")).status_code == 303  # nothing has happened


@every_form
async def test_a_form_of_another_site_is_refused_with_its_token_too(
    page: Page, api: Api, olga: httpx.AsyncClient
) -> None:
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"origin": "null"}):
        answer = await olga.post(path_of(page), data={"csrf": csrf_in(api, olga)}, headers=headers)
        assert answer.status_code == 403, headers


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.operator], ids=name_of)
async def test_a_session_opens_no_operation_of_the_api(operation: object, api: Api, olga: httpx.AsyncClient) -> None:
    """A cookie that a browser sends by itself must not be enough for an API without CSRF tokens."""
    path = re.sub(r"{\w+}", "nothing", operation.path)  # type: ignore[attr-defined]
    answer = await olga.request(operation.method, path, json=BODIES.get(name_of(operation)))  # type: ignore[attr-defined, arg-type]
    assert answer.status_code == 401


@pytest.fixture
async def local(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with open_api(database_url, redis_url, auth_mode="none", host="roadmap.example.org") as opened:
        yield opened


async def test_with_auth_mode_none_everybody_at_this_machine_operates_with_the_token_of_its_pages(local: Api) -> None:
    nobody = local.nobody
    assert (await nobody.get("/monitor/sign-in")).headers["location"] == "/monitor"
    assert (await nobody.post("/monitor/sign-in", data={"email": "x", "password": "y"})).status_code == 303
    assert (await nobody.post("/monitor/sign-out")).status_code == 415
    assert (await nobody.post("/monitor/sign-out", data={"csrf": "x"})).status_code == 403
    answer = await nobody.post("/monitor/sign-out", data={"csrf": local.state.sessions.csrf("local")})
    assert (answer.status_code, answer.headers["location"]) == (303, "/monitor")


async def test_with_auth_mode_none_the_page_of_another_site_changes_nothing_by_the_api(local: Api) -> None:
    """A form, or a fetch without CORS, needs no leave of ours to be sent, and no key is asked for here."""
    changing = [operation for operation in OPERATIONS if operation.method not in {"GET", "HEAD"}]
    assert len(changing) > 5
    for operation in changing:
        path = re.sub(r"{\w+}", "nothing", operation.path)
        for headers in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
        ):
            answer = await local.nobody.request(operation.method, path, headers=headers)
            assert answer.status_code == 403, (operation.path, headers)
    pause = "/v1/admin/queues/content/pause"
    for headers in ({}, {"origin": "http://api"}, {"sec-fetch-site": "same-origin", "origin": "http://api"}):
        assert (await local.nobody.post(pause, headers=headers)).status_code == 200, headers
    assert (await local.nobody.get("/v1/roadmaps", headers={"sec-fetch-site": "cross-site"})).status_code == 200


HOSTS = (
    ("localhost:8000", 200),
    ("127.0.0.1:8000", 200),
    ("[::1]:8000", 200),
    ("192.168.1.20", 200),
    ("raspberry", 200),
    ("raspberry.local", 200),
    ("roadmap.localhost", 200),
    ("roadmap.example.org:8000", 200),
    ("Roadmap.Example.ORG.", 200),
    ("evil.example", 403),
    ("127.0.0.1.evil.example", 403),
    ("localhost.evil.example:8000", 403),
    ("[evil.example]", 403),
    ("evil.example.", 403),
)


async def test_with_auth_mode_none_a_stranger_s_name_for_this_machine_is_refused(local: Api) -> None:
    """A page of a stranger whose name was pointed here (DNS rebinding) would otherwise be the local user."""
    for host, status in HOSTS:
        assert (await local.nobody.get("/v1/roadmaps", headers={"host": host})).status_code == status, host
        page = await local.nobody.get("/monitor/sign-in", headers={"host": host})
        assert page.status_code == {200: 303, 403: 403}[status], host
