"""`roadmap dev` and `roadmap demo`: the whole stack on this machine, with servers of its own where none are named."""

import asyncio
import os
import socket
import sys
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from roadmap.diagnostics import configure_diagnostics
from roadmap.embedded.output import Show as Output
from roadmap.embedded.output import prefix_lines, write_files
from roadmap.embedded.servers import local_servers
from roadmap.embedded.supervisor import Supervisor, parse_procfile
from roadmap.errors import Misconfigured
from roadmap.migrate import migrate
from roadmap.redaction import Redactor
from roadmap.settings import Settings, read_settings

try:
    from roadmap.cli.demo import Show, build_and_show
except ModuleNotFoundError as exc:
    raise Misconfigured("`dev` and `demo` need an extra: `pip install 'roadmap[local]'`") from exc

__all__ = ["demo", "dev"]

READY_WITHIN = 60.0
SERVICES = ("web", "content", "logs")
PROCFILE = "".join(f"{name}: exec roadmap {name}\n" for name in SERVICES)


@dataclass(frozen=True, slots=True)
class Servers:
    database_url: str
    redis_url: str


def dev(arguments: Namespace) -> int:
    configure_diagnostics("info", process="dev", pretty=sys.stdout.isatty(), secrets=read_settings().secrets())
    return asyncio.run(_dev(arguments))


async def _dev(arguments: Namespace) -> int:
    port = {} if arguments.port is None else {"port": arguments.port}
    settings = read_settings(**port, data_dir=arguments.data_dir.resolve())
    async with _stack(settings, prefix_lines(SERVICES)) as (supervisor, servers):
        if await supervisor.ready(READY_WITHIN):
            _tell_urls(settings, servers)
        return await supervisor.wait()


def demo(arguments: Namespace) -> int:
    configure_diagnostics("error", process="demo", pretty=True, secrets=read_settings().secrets())
    return asyncio.run(_demo(arguments))


async def _demo(arguments: Namespace) -> int:
    """0 only when the roadmap succeeded."""
    settings = read_settings(port=_free_port(), data_dir=arguments.data_dir.resolve())
    show = Show.for_terminal()
    show.say("starting PostgreSQL, Redis, web, content and logs …")
    with write_files(settings.data_dir / "logs", SERVICES) as write:
        async with _stack(settings, write) as (supervisor, servers):
            done = await _build(supervisor, arguments, settings, show)
            if done != 0 or not arguments.keep:
                return done
            _tell_urls(settings, servers)
            return await supervisor.wait()


@asynccontextmanager
async def _stack(settings: Settings, write: Output) -> AsyncIterator[tuple[Supervisor, Servers]]:
    """Servers, schema and processes; their lines go to `write`."""
    async with _servers(settings) as servers:
        await migrate(servers.database_url)
        environment, own = _environment(settings, servers), {"web": {"PORT": str(settings.port)}}
        async with Supervisor(_commands(), environment, own=own, show=write) as supervisor:
            yield supervisor, servers


async def _build(supervisor: Supervisor, arguments: Namespace, settings: Settings, show: Show) -> int:
    if not await supervisor.ready(READY_WITHIN):
        show.say(f"the processes did not get ready; their output is in {settings.data_dir / 'logs'}")
        return 1
    if settings.uses_offline_model:
        show.say("the offline model answers: set LLM_API_KEY or LLM_BASE_URL for a real one")
    return await _until_ended(supervisor, arguments, settings, show)


async def _until_ended(supervisor: Supervisor, arguments: Namespace, settings: Settings, show: Show) -> int:
    """The roadmap's outcome, or the supervisor's when a person stops it or a process is misconfigured."""
    base_url = f"http://127.0.0.1:{settings.port}"
    async with asyncio.TaskGroup() as group:
        building = group.create_task(build_and_show(base_url, arguments, show))
        ending = group.create_task(supervisor.wait())
        await asyncio.wait({building, ending}, return_when=asyncio.FIRST_COMPLETED)
        code = building.result() if building.done() else (ending.result() or 1)
        building.cancel()
        ending.cancel()
    return code


@asynccontextmanager
async def _servers(settings: Settings) -> AsyncIterator[Servers]:
    """The servers that the settings name, or our own. Raises Misconfigured when only one of the two is named."""
    named = Servers(settings.database_url.get_secret_value(), settings.redis_url.get_secret_value())
    if named.database_url and named.redis_url:
        yield named
        return
    if named.database_url or named.redis_url:
        raise Misconfigured("set both DATABASE_URL and REDIS_URL, or neither to have servers brought up here")
    programs = os.environ.get("ROADMAP_POSTGRES_BIN")
    async with local_servers(settings.data_dir, postgres_programs=Path(programs) if programs else None) as own:
        yield Servers(own.database_url, own.redis_url)


def _environment(settings: Settings, servers: Servers) -> dict[str, str]:
    return {
        "AUTH_MODE": "none",
        **os.environ,
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "HOST": settings.host or "127.0.0.1",
        "PORT": "0",  # the workers' own, a free one each
    }


def _commands() -> dict[str, list[str]]:
    """From the Procfile of the folder, where there is one: what runs here is what is deployed."""
    procfile = Path("Procfile")
    text = procfile.read_text(encoding="utf-8") if procfile.is_file() else PROCFILE
    commands = parse_procfile(text)
    return {name: commands[name] for name in SERVICES if name in commands}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _tell_urls(settings: Settings, servers: Servers) -> None:
    print(f"\n  API         http://127.0.0.1:{settings.port}  (/openapi.json, /ready)")
    print(f"  Monitor     http://127.0.0.1:{settings.port}/monitor")
    named = settings.database_url.get_secret_value()
    for name, url in (("PostgreSQL", servers.database_url), ("Redis", servers.redis_url)):
        print(f"  {name:10}  {Redactor().text(url) if named else url}")  # our own have no passwords
    print("  Ctrl-C stops everything.\n", flush=True)
