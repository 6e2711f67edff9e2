"""No secret of the settings is ever told: by no process, no command and no answer, in no row and no key.

Every setting that is a secret gets a value that can be looked for; a new one is covered by itself.
"""

import hashlib
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
import orjson
import pytest
from model_server import Behaviour, Call, ModelServer, answer, model_server, status
from pooler import direct
from pydantic import SecretStr
from redis.asyncio import Redis
from stack import PROGRAM, api_client, finish, open_stack
from whole import offline, subject

from roadmap.accounts.keys import create_key
from roadmap.database import Database
from roadmap.settings import Settings
from roadmap.web.pages.views import VIEWS

SECRETS = [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]
# Runs commands one after the other, each in its environment, as the console script would.
SCRIPT = """
import json, os, sys
from roadmap.cli.main import main
for change, arguments in json.loads(sys.argv[1]):
    before = dict(os.environ)
    os.environ.update(change)
    try:
        code = main(arguments)
    except SystemExit as exc:
        code = exc.code
    print("EXIT", code, *arguments, flush=True)
    os.environ.clear()
    os.environ.update(before)
"""
OPERATOR = "olga@example.org"
COMMANDS = [
    "--help", "start --help", "check", "migrate --status", "migrate --dry-run", "keys list", "admin list",
    "dead-jobs list --json", "dead-jobs groups",
]  # fmt: skip
PATHS = [
    "/health", "/ready", "/metrics", "/openapi.json", "/nothing", "/v1/roadmaps?limit=0", "/v1/roadmaps?status=x",
    "/v1/admin/workers", "/v1/admin/queues", "/v1/admin/dead-jobs", "/v1/runs/run_x",
]  # fmt: skip


def mark(name: str) -> str:
    """By which the secret of this setting is found again, however it is written."""
    return f"canary{hashlib.sha256(name.encode()).hexdigest()[:20]}"


def value(name: str) -> str:
    return f"{mark(name)}-/@%:\"'-é" if name.endswith("_url") else f"{mark(name)}-And-More-Of-It-1"


def with_password(name: str, url: str, user: str | None = None) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user or parts.username}:{quote(value(name), safe='')}@{place}"))


def secrets(database_url: str, redis_url: str) -> dict[str, str]:
    """The environment in which every secret is set."""
    known = {
        "database_url": with_password("database_url", database_url),
        "database_unpooled_url": with_password("database_unpooled_url", database_url),
        "redis_url": with_password("redis_url", redis_url, "canary"),
    }
    return {name.upper(): known.get(name, value(name)) for name in SECRETS}


def misconfigurations(there: dict[str, str]) -> Iterator[tuple[dict[str, str], str]]:
    """What is wrong, and the command that finds out."""
    database, redis = there["DATABASE_URL"], there["REDIS_URL"]
    yield {"DATABASE_URL": database.replace("postgresql://", "mysql://")}, "web"
    yield {"DATABASE_URL": database.replace("127.0.0.1:", "127.0.0.1:port")}, "check"
    yield {"DATABASE_URL": database.replace("127.0.0.1:", "[127.0.0.1:")}, "content"
    yield {"DATABASE_URL": with_password("database_url", database, "nobody_here")}, "keys list"
    yield {"DATABASE_URL": f"{database}_of_nobody"}, "logs"
    yield {"DATABASE_URL": f"{database}?sslmode=wrong"}, "dead-jobs groups"
    yield {"DATABASE_URL": f"{database}?sslmode=verify-full&sslrootcert=/nowhere"}, "admin list"
    yield {"DATABASE_UNPOOLED_URL": f"{database}_of_nobody"}, "migrate"
    yield {"REDIS_URL": redis.replace("redis://", "http://")}, "content"
    yield {"REDIS_URL": redis.replace("@127.0.0.1:", "x@127.0.0.1:")}, "check"
    yield {"REDIS_URL": redis.replace("127.0.0.1:", "127.0.0.1:1")}, "check"
    yield {"LLM_BASE_URL": f"ftp://user:{mark('llm_api_key')}@models.example/v1"}, "content"
    yield {"LLM_BASE_URL": f"http://user:{mark('llm_api_key')}@[::1/v1"}, "content"
    yield {"LLM_API_KEY": f"{value('llm_api_key')} and more"}, "content"
    yield {"PORT": mark("metrics_token"), "LOG_LEVEL": mark("admin_password")}, "web"
    yield {"ENVIRONMENT": "production", "AUTH_MODE": "none"}, "web"
    yield {"ADMIN_EMAIL": ""}, "web"
    yield {"DATABASE_URL_FILE": "/nowhere"}, "check"


@pytest.mark.slow
async def test_no_secret_is_told_by_anything(
    tmp_path: Path, database_url: str, redis_url: str, database: Database
) -> None:
    database_url = direct(database_url)  # a pooler has passwords of its own
    key = (await create_key(database, "alice@example.org", "tests", None, operator=True)).secret
    there = secrets(database_url, redis_url)
    plain = {"ADMIN_EMAIL": OPERATOR, "DB_POOLER": "none", "LOG_LEVEL": "debug", "VERIFY_LINKS": "off"}
    async with (
        guarded_redis(redis_url) as redis,
        model_server() as model,
        open_stack(tmp_path, **lower(there), LLM_BASE_URL=model.url, **plain) as stack,
    ):
        tell_all(model)
        mistaken = await stack.launch("mistaken", command=script(list(misconfigurations(there))))
        away = re.sub(r":\d+/", ":1/", there["DATABASE_URL"])
        lost = await stack.launch("lost", command=(str(PROGRAM), "logs"), DATABASE_URL=away)
        every = await stack.launch("every", command=(str(PROGRAM), "all"))
        await stack.start("web", "content", "logs")
        async with api_client(stack.web_url, key) as client:
            told = await live(client)
            told |= {path: (await client.get(path)).text for path in PATHS}
            told["/metrics"] = (await client.get("/metrics", headers=bearer(value("metrics_token")))).text
            told |= await look_at_pages(client)
            cookies = dict(client.cookies)
            assert len(cookies) == 2
        answering = await stack.launch("answering", command=script([({}, command) for command in COMMANDS]))
        await every.says("web_ready")
        every.signal(signal.SIGTERM)
        await lost.says("database_away")
        lost.signal(signal.SIGKILL)
        assert [await child.exits(within=60) for child in (mistaken, answering, every)] == [0, 0, 0]
        assert [await stack.terminate(name) for name in ("web", "content", "logs")] == [0, 0, 0]
        codes = re.findall(r"^EXIT (\d+)", mistaken.text(), re.MULTILINE)
        assert len(codes) == len(list(misconfigurations(there)))
        assert set(codes) <= {"1", "2"}, mistaken.text()
        told |= {f"output of {child.name}": child.text() for child in stack.everyone}
        told |= {f"table {name}": text async for name, text in tables(database)}
        told["redis"] = await everything(redis)
    assert "a dead job" in told
    assert any('"model_call_failed"' in text for text in told.values())
    assert "roadmap_queue_depth" in told["/metrics"]
    assert leaks(told, {"an API key": key, **cookies}) == []


def leaks(told: dict[str, str], shown: dict[str, str]) -> list[str]:
    """Who tells what: the settings' secrets by their marks, and those that somebody showed."""
    marks = {name: mark(name) for name in SECRETS} | shown
    return [
        f"{where} tells {name}: …{text[max(0, text.index(hidden) - 150) : text.index(hidden) + 40]}…"
        for where, text in told.items()
        for name, hidden in marks.items()
        if hidden in text
    ]


def lower(variables: dict[str, str]) -> dict[str, str]:
    """As `open_stack` takes them: two by their own names."""
    return {name.lower() if name in {"DATABASE_URL", "REDIS_URL"} else name: text for name, text in variables.items()}


def script(steps: list[tuple[dict[str, str], str]]) -> list[str]:
    listed = orjson.dumps([(change, command.split()) for change, command in steps]).decode()
    return [sys.executable, "-c", SCRIPT, listed]


@asynccontextmanager
async def guarded_redis(url: str) -> AsyncIterator[Redis]:
    """With a user who has a password."""
    async with Redis.from_url(url) as redis:
        await redis.acl_setuser(
            "canary",
            enabled=True,
            passwords=[f"+{value('redis_url')}"],
            keys=["*"],
            channels=["*"],
            categories=["+@all"],
        )
        yield redis
        await redis.acl_deluser("canary")


def tell_all(model: ModelServer) -> None:
    """The provider repeats the key that it was shown wherever a caller could read it, as some do."""
    key = value("llm_api_key")
    repeated = orjson.dumps({"error": {"message": f"Incorrect API key provided: {key}", "code": key, "type": key}})
    hopeless: list[str] = []

    def behave(call: Call) -> Behaviour:
        if call.purpose != "quiz":
            return offline()(call)
        hopeless.append(subject(call))
        return answer(f"no quiz for {key}") if subject(call) == hopeless[0] else offline()(call)

    model.default = behave
    model.script(status(401, {"www-authenticate": key}, repeated), purpose="tutorial")
    model.script(status(400, {"x-key": key}, repeated), purpose="resources")


async def live(client: httpx.AsyncClient) -> dict[str, str]:
    """A roadmap is made, with mishaps, and read."""
    created = await client.post("/v1/roadmaps", json={"goal": "Learn SQL", "size": "small"})
    roadmap = await finish(client, created.json()["id"])
    told = {"the roadmap": str(roadmap)}
    for link in ("events", "log", "runs"):
        told[link] = (await client.get(roadmap["links"][link], params={"limit": 100})).text
    for dead in (await client.get("/v1/admin/dead-jobs")).json()["data"]:
        told["a dead job"] = (await client.get(f"/v1/admin/dead-jobs/{dead['id']}")).text
    told["refused"] = (await client.post("/v1/roadmaps", json={"goal": 1, "password": "x"})).text
    told["a stranger"] = (await client.get("/v1/roadmaps", headers=bearer("rk_nobody"))).text
    return told


async def look_at_pages(client: httpx.AsyncClient) -> dict[str, str]:
    """As the first operator, whose password is a setting."""
    form = {"email": OPERATOR, "password": value("admin_password")}
    signed_in = await client.post("/monitor/sign-in", data=form, headers={"Origin": str(client.base_url).rstrip("/")})
    assert signed_in.status_code == 303, signed_in.text
    pages = {view.path: await client.get(view.path) for view in VIEWS if "{" not in view.path}
    assert {page.status_code for page in pages.values()} == {200}
    return {path: page.text for path, page in pages.items()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def tables(db: Database) -> AsyncIterator[tuple[str, str]]:
    for row in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        rows = await db.fetch(f"SELECT t::text AS told FROM {row['tablename']} t")
        yield row["tablename"], "\n".join(found["told"] for found in rows)


async def everything(redis: Redis) -> str:
    """Names and values of all keys."""
    told = []
    async for key in redis.scan_iter():
        reading = {b"string": redis.get, b"hash": redis.hgetall, b"set": redis.smembers}
        kind = await redis.type(key)
        told.append(f"{key} {await (reading[kind](key) if kind in reading else redis.zrange(key, 0, -1))}")
    return "\n".join(told)
