"""Every process type, started by the very words of each file that deploys it, as in production."""

import asyncio
import shutil
import signal
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from deployed import ROOT, Deployed, read_all
from stack import Child, Stack, open_stack
from waiting import eventually

BIN = Path(sys.executable).parent
SLOW = 100.0  # seconds: many processes start at once, on a machine that may have two cores
# Each with the secrets that it uses itself, and no other.
NEEDS = {
    "web": {"JWT_SECRET_KEY": "kQ3v8zW1nR5tY7uB2xD4fG6hJ9mL0pSwE"},
    "content": {"LLM_PROVIDER": "offline"},
}
OLD_NAMES = {"api": "web", "celery_logs": "logs", "celery_content": "content"}


def role_of(command: tuple[str, ...], service_type: str) -> str:
    named = command[1] if len(command) > 1 and command[1] != "start" else service_type
    return OLD_NAMES.get(named, named)


@pytest.fixture(scope="module")
def files() -> dict[tuple[tuple[str, ...], str], set[str]]:
    """Each distinct process with the files that name it."""
    found = defaultdict(set)
    for deployed in read_all():
        found[deployed.process].add(deployed.file)
    return dict(found)


@pytest.fixture
async def stack(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path, database_url, redis_url, ENVIRONMENT="production") as opened:
        yield opened


def test_every_file_starts_every_process_type(files: dict[tuple[tuple[str, ...], str], set[str]]) -> None:
    roles = defaultdict(set)
    for (command, service_type), names in files.items():
        for name in names:
            roles[name].add(role_of(command, service_type))
    services = {"web", "logs", "content"}
    assert dict(roles) == {
        "Procfile": services | {"migrate"},
        "compose.yaml": services | {"migrate"},
        "railway.json": services | {"migrate"},
        ".railway/railway.py": services,
        "roadmap@.service": services,
        "roadmap-migrate.service": {"migrate"},
        "Dockerfile": services,
    }


@pytest.mark.timeout(300)
async def test_each_command_and_each_old_name_gets_ready_answers_and_ends_with_0(
    files: dict[tuple[tuple[str, ...], str], set[str]], stack: Stack
) -> None:
    chosen = [key for key in files if role_of(*key) != "migrate" and (not key[1] or key[1] in OLD_NAMES)]
    assert len(chosen) == 6
    children = await live(stack, chosen)
    told = {child.environment["SERVICE_TYPE"] for child in children if "is an old name" in child.text()}
    assert told == {"celery_logs", "celery_content"}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_each_service_type_gets_ready_answers_and_ends_with_0(
    files: dict[tuple[tuple[str, ...], str], set[str]], stack: Stack
) -> None:
    chosen = [key for key in files if key[1] and key[1] not in OLD_NAMES]
    assert len(chosen) == 3
    children = await live(stack, chosen)
    assert [child.name for child in children if "is an old name" in child.text()] == []


async def live(stack: Stack, chosen: list[tuple[tuple[str, ...], str]]) -> list[Child]:
    """All at once, from their start to their end."""
    children = [await launch(stack, command, service_type) for command, service_type in chosen]
    async with httpx.AsyncClient(timeout=10) as client:
        await asyncio.gather(*(check(client, child) for child in children))
    for child in children:
        child.signal(signal.SIGTERM)
    assert [await child.exits(within=SLOW) for child in children] == [0] * len(children)
    assert [child.name for child in children if "Traceback" in child.text()] == []
    return children


async def launch(stack: Stack, command: tuple[str, ...], service_type: str) -> Child:
    role = role_of(command, service_type)
    name = f"{role}:{'-'.join(command[1:])}-{service_type}"
    environment = {"SERVICE_TYPE": service_type} if service_type else {}
    # Where the image and the units have the program, it is here.
    words = [str(BIN / command[0]), *command[1:]]
    return await stack.launch(name, command=words, **environment, **NEEDS.get(role, {}))


async def check(client: httpx.AsyncClient, child: Child) -> None:
    """It says that it is ready, and on its port that it lives and can serve."""
    is_web = child.service == "web"
    ready_line = await child.says("web_ready" if is_web else "worker_ready", within=SLOW)
    line = ready_line if is_web else await child.says("listening")
    url = f"http://127.0.0.1:{line['port']}"
    assert (await client.get(f"{url}/health")).json() == {"status": "ok"}

    async def ready() -> bool:
        return (await client.get(f"{url}/ready")).status_code == 200

    await eventually(ready, f"{child.name} is ready", within=SLOW)


async def test_the_release_step_of_each_file_ends_by_itself(
    files: dict[tuple[tuple[str, ...], str], set[str]], stack: Stack
) -> None:
    steps = [command for command, service_type in files if role_of(command, service_type) == "migrate"]
    assert steps == [("roadmap", "migrate")]
    child = await stack.launch("migrate", command=[str(BIN / "roadmap"), *steps[0][1:]])
    assert await child.exits() == 0, child.text()


@pytest.mark.slow
async def test_honcho_runs_the_procfile(stack: Stack) -> None:
    """As a person would, and as the hosts do that read it: through a shell, on the ports that honcho gives."""
    base = free_ports(300)
    environment = {"PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin", **NEEDS["web"], **NEEDS["content"]}
    command = [sys.executable, "-m", "honcho", "start", "-p", str(base), "web", "logs", "content"]
    honcho = await stack.launch("honcho", command=command, **environment)
    async with httpx.AsyncClient(timeout=10) as client:
        for port in (base, base + 100, base + 200):

            async def lives(url: str = f"http://127.0.0.1:{port}/health") -> bool:
                try:
                    return (await client.get(url)).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(lives, f"port {port} answers", within=60)
    honcho.signal(signal.SIGTERM)
    await honcho.exits()
    # honcho tells its children's codes; -15 would be a shell in front that the signal ended.
    assert honcho.text().count("stopped (rc=0)") == 3, honcho.text()


def free_ports(span: int) -> int:
    """The first of so many ports, of which the first, and each hundredth after it, were free."""
    for base in range(20_000, 30_000, span):
        with ExitStack() as held:
            try:
                for port in range(base, base + span, 100):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return base
    pytest.fail("no free ports")


def test_a_shell_and_an_entry_point_start_the_same_words() -> None:
    """`exec` is all that the Procfile has and a container's command has not."""
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert {line.split()[0] for line in lines.values()} == {"exec"}
    assert shutil.which("sh")
    assert Deployed("", ("/opt/roadmap/bin/roadmap", "web")).process == Deployed("", ("roadmap", "web")).process
