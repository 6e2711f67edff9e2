"""Signing in and out over HTTP: the cookie, equal answers, limits, and what others cannot make a browser do."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from html import escape

import httpx
import pytest
from argon2 import PasswordHasher
from inside import Api, in_process, open_api
from operators import OLGA, PASSWORD, VERA, CountingHasher, add_account, csrf_in, sign_in
from pydantic import SecretStr

from roadmap.accounts.keys import create_key
from roadmap.accounts.model import Role
from roadmap.accounts.passwords import open_passwords
from roadmap.accounts.sessions import Keys, Roster, Session, make_up_key
from roadmap.accounts.store import find_account
from roadmap.audit.store import Filters, list_entries
from roadmap.web.pages.access import safe_next

SIGN_IN = "/monitor/sign-in"
KEY = make_up_key()


@pytest.fixture(scope="module")
async def api(api: Api) -> Api:
    await add_account(api.db, OLGA, Role.OPERATOR)
    await add_account(api.db, VERA, Role.VIEWER)
    return api


@pytest.fixture
async def browser(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """Fresh, and with fresh limits."""
    await api.db.execute("DELETE FROM sign_in_failures")
    async with in_process(api.state) as client:
        yield client


async def audited(api: Api, **filters: str) -> list[tuple[str, str, str | None]]:
    rows = await list_entries(api.db, Filters(**filters), None, 100)  # type: ignore[arg-type]
    return [(row.action, row.actor, row.address) for row in rows]


async def is_signed_in(browser: httpx.AsyncClient) -> bool:
    """Whoever is, is sent on."""
    answer = await browser.get(SIGN_IN)
    assert answer.status_code in {200, 303}
    return answer.status_code == 303


async def test_the_form_is_shown_and_a_password_opens_a_session(api: Api, browser: httpx.AsyncClient) -> None:
    shown = await browser.get(SIGN_IN, params={"next": "/monitor/queues?level=red"})
    assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'value="/monitor/queues?level=red"' in shown.text
    answer = await sign_in(browser, f" {OLGA.upper()} ", next="/monitor/queues?level=red")
    assert (answer.status_code, answer.headers["location"]) == (303, "/monitor/queues?level=red")
    assert await is_signed_in(browser)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("roadmap=")
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "Secure" not in cookie  # plain HTTP at home
    assert (await audited(api, action="signed_in"))[0][:2] == ("signed_in", OLGA)


async def test_the_pages_have_a_strict_policy(browser: httpx.AsyncClient) -> None:
    for answer in (await browser.get(SIGN_IN), await sign_in(browser, OLGA, "wrong")):
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        # `no-referrer` would make browsers send `Origin: null` with our own forms.
        assert answer.headers["referrer-policy"] == "same-origin"


async def test_over_tls_and_in_production_the_cookie_is_bound_to_this_host(
    api: Api, database_url: str, redis_url: str
) -> None:
    async with in_process(api.state) as tls:
        tls.base_url = httpx.URL("https://api")
        cookie = (await sign_in(tls, OLGA)).headers["set-cookie"]
        assert cookie.startswith("__Host-roadmap=")
        assert "Secure" in cookie
        assert await is_signed_in(tls)
    production = {"environment": "production", "jwt_secret_key": SecretStr(KEY)}
    async with open_api(database_url, redis_url, **production) as other:
        await add_account(other.db, OLGA, Role.OPERATOR)
        answer = await sign_in(other.nobody, OLGA)
        assert answer.headers["set-cookie"].startswith("__Host-roadmap=")
        assert "Secure" in answer.headers["set-cookie"]
        assert "strict-transport-security" not in answer.headers
        other.nobody.base_url = httpx.URL("https://api")
        assert (await other.nobody.get(SIGN_IN)).headers["strict-transport-security"] == "max-age=31536000"


async def test_a_browser_that_would_drop_the_session_is_told_so_before_its_password_is_looked_at(
    api: Api, database_url: str, redis_url: str
) -> None:
    production = {"environment": "production", "jwt_secret_key": SecretStr(KEY)}
    fields = {"email": OLGA, "password": PASSWORD}
    async with open_api(database_url, redis_url, **production) as other:
        await add_account(other.db, OLGA, Role.OPERATOR)
        for host in ("api", "192.168.1.20:8000", "localhost.evil.example"):
            headers = {"host": host, "origin": f"http://{host}"}
            answer = await other.nobody.post(SIGN_IN, data=fields, headers=headers)
            assert (answer.status_code, "set-cookie" in answer.headers) == (403, False), host
            assert "over plain HTTP this browser keeps no session" in answer.text
            assert PASSWORD not in answer.text
        assert await audited(other, action="signed_in") == []
        for host, scheme in (("localhost:8000", "http"), ("127.0.0.1", "http"), ("[::1]:80", "http"), ("api", "https")):
            headers = {"host": host, "origin": f"{scheme}://{host}"}
            answer = await other.nobody.post(SIGN_IN, data=fields, headers=headers)
            assert (answer.status_code, "set-cookie" in answer.headers) == (303, True), host
    # At home the cookie is for plain HTTP, too.
    assert (await api.nobody.post(SIGN_IN, data=fields, headers={"origin": "http://api"})).status_code == 303


async def test_whatever_is_wrong_the_answer_and_the_work_are_the_same(api: Api, browser: httpx.AsyncClient) -> None:
    await create_key(api.db, "lea@example.org", "a learner", None)
    await add_account(api.db, "once@example.org", Role.VIEWER)
    await api.db.execute("UPDATE users SET role = 'learner' WHERE email = 'once@example.org'")
    wrong = (
        (OLGA, "wrong"),
        ("nobody@example.org", PASSWORD),
        ("lea@example.org", PASSWORD),
        ("once@example.org", PASSWORD),
        ("no address\x00", PASSWORD),
        (OLGA, "x" * 100_000),
        (OLGA, ""),
    )
    hasher = CountingHasher()
    with open_passwords(hasher) as passwords:
        state = dataclasses.replace(api.state, passwords=passwords)
        async with in_process(state) as client:
            answers = [await sign_in(client, email, password) for email, password in wrong]
    assert {answer.status_code for answer in answers} == {401}
    texts = {
        answer.text.replace(escape(email), "").replace(email, "")
        for answer, (email, _) in zip(answers, wrong, strict=True)
    }
    assert len(texts) == 1
    assert all("set-cookie" not in answer.headers for answer in answers)
    assert len(hasher.verified) == len(wrong)
    assert len(hasher.parameters()) == 1
    assert hasher.hashed == 0


async def test_a_hash_of_old_parameters_is_made_anew_at_the_next_sign_in(api: Api, browser: httpx.AsyncClient) -> None:
    old = PasswordHasher(1, 8_192, 1).hash(PASSWORD)
    await api.db.execute("UPDATE users SET password_hash = $1 WHERE email = $2", old, VERA)
    assert (await sign_in(browser, VERA)).status_code == 303
    account = await find_account(api.db, VERA)
    assert account is not None
    assert account.password_hash is not None
    assert account.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await is_signed_in(browser)
    assert (await sign_in(browser, VERA)).status_code == 303


async def test_guessing_is_slowed_down_told_and_written_down_once(api: Api, browser: httpx.AsyncClient) -> None:
    await api.db.execute("DELETE FROM audit_log")
    statuses = [(await sign_in(browser, OLGA, f"guess {number}")).status_code for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    refused = await sign_in(browser, OLGA)
    assert refused.status_code == 429  # also with the right password
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert "wait" in refused.text
    rows = await list_entries(api.db, Filters(), None, 100)
    assert len(rows) <= 2
    assert {(row.action, row.actor, row.subject) for row in rows} == {("sign_in_refused", "unknown", OLGA)}
    assert sum(row.details["times"] for row in rows) == 10
    await api.db.execute("UPDATE sign_in_failures SET last_at = last_at - interval '31 seconds'")
    assert (await sign_in(browser, OLGA)).status_code == 303


async def test_a_browser_that_has_signed_in_before_is_not_held_up_by_who_guesses(
    api: Api, browser: httpx.AsyncClient
) -> None:
    answer = await sign_in(browser, OLGA)
    _, device = answer.headers.get_list("set-cookie")
    assert device.startswith("roadmap-device=")
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=7776000"} <= set(device.split("; "))
    assert OLGA not in device
    await browser.post("/monitor/sign-out", data={"csrf": csrf_in(api, browser)})
    async with in_process(api.state) as stranger:
        assert [(await sign_in(stranger, OLGA, "a guess")).status_code for _ in range(11)] == [401] * 10 + [429]
        assert (await sign_in(browser, VERA, "x")).status_code == 401  # of this account nothing is known here
        for _ in range(11):
            await sign_in(stranger, VERA, "a guess")
        assert (await sign_in(browser, VERA)).status_code == 429
        assert (await sign_in(browser, OLGA)).status_code == 303
        assert (await sign_in(stranger, OLGA)).status_code == 429


async def test_the_pause_tells_nothing_of_who_has_an_account(api: Api, browser: httpx.AsyncClient) -> None:
    answers = [await sign_in(browser, "nobody@example.org", "x") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    rows = await list_entries(api.db, Filters(subject="nobody@example.org"), None, 10)
    assert rows == []  # what strangers type is not kept


async def test_a_flood_of_sign_ins_is_turned_away_and_others_are_served(api: Api, browser: httpx.AsyncClient) -> None:
    flood = [asyncio.create_task(sign_in(browser, f"{number}@example.org", "x")) for number in range(60)]
    assert (await api.nobody.get("/health")).status_code == 200
    statuses = [answer.status_code for answer in await asyncio.gather(*flood)]
    assert set(statuses) <= {401, 429}
    assert statuses.count(401) <= 30


async def test_signing_out_ends_every_session_of_the_account(api: Api, browser: httpx.AsyncClient) -> None:
    async with in_process(api.state) as other:
        for client in (browser, other):
            assert (await sign_in(client, OLGA)).status_code == 303
        answer = await browser.post("/monitor/sign-out", data={"csrf": csrf_in(api, browser)})
        assert (answer.status_code, answer.headers["location"]) == (303, SIGN_IN)
        assert 'roadmap=""' in answer.headers["set-cookie"]
        assert not await is_signed_in(browser)
        assert not await is_signed_in(other)
    assert (await audited(api, action="signed_out"))[0][:2] == ("signed_out", OLGA)


async def test_a_session_ends_with_a_new_generation_another_role_and_its_twelve_hours(
    api: Api, browser: httpx.AsyncClient
) -> None:
    account = await find_account(api.db, VERA)
    assert account is not None
    begun = Session.begin(account)

    async def is_good(session: Session, **changed: object) -> bool:
        state = dataclasses.replace(api.state, roster=Roster())
        async with in_process(dataclasses.replace(state, **changed)) as client:  # type: ignore[arg-type]
            client.cookies.set("roadmap", api.state.sessions.sign(session))
            return await is_signed_in(client)

    assert await is_good(begun)
    assert not await is_good(dataclasses.replace(begun, generation=begun.generation + 1))
    assert not await is_good(dataclasses.replace(begun, generation=begun.generation - 1))
    assert not await is_good(dataclasses.replace(begun, issued_at=begun.issued_at - 12 * 3600 - 5))
    assert not await is_good(begun, sessions=Keys(KEY))
    await api.db.execute("UPDATE users SET role = 'learner' WHERE email = $1", VERA)
    assert not await is_good(begun)
    await api.db.execute("UPDATE users SET role = 'viewer' WHERE email = $1", VERA)


async def test_a_form_of_another_site_does_not_sign_in(browser: httpx.AsyncClient) -> None:
    fields = {"email": OLGA, "password": PASSWORD}
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "http://api.evil.example"},
        {"origin": "http://api:81"},
        {"origin": "null"},
        {"origin": "http://[evil"},
    ):
        answer = await browser.post(SIGN_IN, data=fields, headers=headers)
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False), headers
    for headers in ({"origin": "http://api"}, {"sec-fetch-site": "same-origin", "origin": "https://behind-a-proxy"}):
        assert (await browser.post(SIGN_IN, data=fields, headers=headers)).status_code == 303, headers


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "/monitor/../../evil", "/monitor//evil.example",
        "/monitorevil", "javascript:alert(1)", "/monitor\r\nX: y", "/monitor?a=<b>", "/monitor/sign-in", "/v1/roadmaps",
        "/monitor/sign-out", "/monitor/" + "a" * 600, "", "/monitor@evil.example", "/monitor/a/..//x",
        "/monitor/%2e%2e/v1", "/monitor/./x", None,
    ],
)  # fmt: skip
async def test_nobody_is_led_elsewhere(browser: httpx.AsyncClient, wanted: str | None) -> None:
    answer = await sign_in(browser, OLGA, **({"next": wanted} if wanted is not None else {}))
    assert answer.status_code == 303
    assert answer.headers["location"] == "/monitor"


@pytest.mark.parametrize(
    "wanted", ["/monitor", "/monitor/runs/run_1", "/monitor/runs?status=failed&after=a_b-c", "/monitor/a.b"]
)
def test_a_page_of_the_monitor_is_where_one_goes_on(wanted: str) -> None:
    assert safe_next(wanted) == wanted


async def test_what_was_typed_is_escaped(browser: httpx.AsyncClient) -> None:
    probe = '"><script>alert(1)</script>'
    answer = await sign_in(browser, probe, "x", next=f"/monitor{probe}")
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text
    shown = await browser.get(SIGN_IN, params={"next": f"/monitor?a={probe}"})
    assert "<script>alert" not in shown.text


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a=b", "", 415),
        (b"a=\xff", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"a=b"] * 2_000), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"b" * 300_000, "application/x-www-form-urlencoded", 413),
        (b"", "application/x-www-form-urlencoded", 401),
    ],
)
async def test_what_is_no_form_is_refused(
    browser: httpx.AsyncClient, content: bytes, media_type: str, status: int
) -> None:
    answer = await browser.post(SIGN_IN, content=content, headers={"content-type": media_type})
    assert answer.status_code == status
