"""The command line: one table of commands. Exit codes: 0 done, 1 something is wrong, 2 misconfigured or misused."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

from roadmap import __version__
from roadmap.errors import Misconfigured, RoadmapError

__all__ = ["main"]

EPILOG = "Settings come from the environment; `roadmap check` shows them. Without servers of your own: `roadmap dev`."


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    module, _, function = arguments.run.partition(":")
    try:
        # Each process loads only what it runs: `logs` has no use for a web server.
        code: int = getattr(import_module(f"roadmap.cli.{module}"), function)(arguments)
    except (RoadmapError, ExceptionGroup) as exc:
        return _tell(exc)
    except KeyboardInterrupt:
        return 130
    return code


def _tell(error: Exception) -> int:
    """One line for an error of ours; a bug keeps its traceback. A task group wraps what its block raises."""
    cause: Exception = error
    while isinstance(cause, ExceptionGroup) and len(cause.exceptions) == 1:
        cause = cause.exceptions[0]
    match cause:
        case Misconfigured():
            print(f"roadmap: misconfigured: {cause}", file=sys.stderr)
            return 2
        case RoadmapError():
            print(f"roadmap: {cause}", file=sys.stderr)
            return 1
    raise error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="roadmap", description="Learning roadmaps, written by an LLM.", epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"roadmap {__version__}")
    parser.set_defaults(run="services:start")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_services(commands)
    _add_admin(commands)
    _add_local(commands)
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  it has no public name


def _add_services(commands: Commands) -> None:
    for name, text in (
        ("web", "serve the API"),
        ("content", "work on the queue `content`: plans and their content"),
        ("logs", "work on the queue `logs`: the execution log, and chores"),
        ("start", "what SERVICE_TYPE says: api, content or logs (also without any command)"),
    ):
        command = commands.add_parser(name, help=text, description=text.capitalize())
        command.set_defaults(run=f"services:{name}")


def _add_admin(commands: Commands) -> None:
    migrate = commands.add_parser("migrate", help="bring the database's schema up to date")
    migrate.add_argument("--dry-run", action="store_true", help="print the SQL that would run, change nothing")
    migrate.add_argument("--status", action="store_true", help="list what is applied and what is missing")
    migrate.set_defaults(run="admin:migrate")
    check = commands.add_parser("check", help="show the configuration and what answers; 1 when something is wrong")
    check.set_defaults(run="admin:check")
    keys = commands.add_parser("keys", help="API keys").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    create = keys.add_parser("create", help="make a key, printed once")
    create.add_argument("--email", required=True, help="whose key; the user is created when there is none")
    create.add_argument("--name", default="default", help="what the key is for")
    create.add_argument("--days", type=int, help="days until it expires (never)")
    create.set_defaults(run="admin:create_key")


def _add_local(commands: Commands) -> None:
    dev = commands.add_parser("dev", help="run everything on this machine, with its own PostgreSQL and Redis")
    dev.add_argument("--port", type=int, default=8000, help="port of the API (8000)")
    dev.set_defaults(run="local:dev")
    demo = commands.add_parser("demo", help="make one roadmap here and now, and show it")
    demo.add_argument("goal", nargs="?", default="Learn SQL in six weeks, 5 hours a week", help="what to learn")
    demo.add_argument("--keep", action="store_true", help="leave everything running afterwards")
    demo.add_argument("--language", default="en", help="of the roadmap: en, zh, … (en)")
    demo.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for the roadmap (120)")
    demo.set_defaults(run="local:demo")
    for command in (dev, demo):
        command.add_argument("--data-dir", type=Path, default=Path(os.environ.get("DATA_DIR", ".data")), help="(.data)")
    model = commands.add_parser("offline-model", help="serve the built-in model over HTTP, for tests and benchmarks")
    model.add_argument("--port", type=int, default=0, help="0 picks a free one")
    model.add_argument("--latency-ms", type=int, default=0, help="how long each answer takes")
    model.add_argument("--faults", default="", help='such as "429=0.05,500=0.01"')
    model.add_argument("--seed", type=int, default=0, help="of the faults")
    model.set_defaults(run="offline:serve")
