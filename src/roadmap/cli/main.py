"""The command line: one table of commands.

Exit codes: 0 done, 1 something is wrong, 2 misconfigured or misused, 70 a service that no longer looked at its queue.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from traceback import format_exception
from typing import TypeAlias

from roadmap import __version__
from roadmap.errors import Misconfigured, RoadmapError, Stalled

__all__ = ["main"]

# Which print an answer and end.
COMMANDS = {"accounts", "admin", "check", "dead_jobs", "queues"}
EPILOG = "Settings come from the environment; `roadmap check` shows them. Without servers of your own: `roadmap dev`."


def main(argv: Sequence[str] | None = None) -> int:
    sys.excepthook = lambda *bug: print(_redact("".join(format_exception(*bug))), end="", file=sys.stderr)
    arguments = _parser().parse_args(argv)
    module, _, function = arguments.run.partition(":")
    # Each process loads only what it runs: `logs` has no use for a web server, and `health` for nothing.
    if module == "services":
        import_module("roadmap.signals").leave_on_signal()
    if module in COMMANDS:
        import_module("roadmap.diagnostics").warn_on_stderr(_redact)
    try:
        code: int = getattr(import_module(f"roadmap.cli.{module}"), function)(arguments)
        sys.stdout.flush()
    except (RoadmapError, ExceptionGroup) as exc:
        return _tell(exc)
    except BrokenPipeError:  # `roadmap dead-jobs list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
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
            print(_redact(f"roadmap: misconfigured: {cause}"), file=sys.stderr)
            return 2
        case Stalled():
            print(_redact(f"roadmap: stalled: {cause}"), file=sys.stderr)
            stalled: int = import_module("roadmap.watchdog").STALLED
            return stalled
        case RoadmapError():
            print(_redact(f"roadmap: {cause}"), file=sys.stderr)
            return 1
    raise error


def _redact(text: str) -> str:
    redacted: str = import_module("roadmap.cli.redacting").redact(text)
    return redacted


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="roadmap", description="Learning roadmaps, written by an LLM.", epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"roadmap {__version__}")
    parser.set_defaults(run="services:start")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_services(commands)
    _add_admin(commands)
    _add_keys(commands)
    _add_accounts(commands)
    _add_dead_jobs(commands)
    _add_queues(commands)
    _add_local(commands)
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  it has no public name


def _add_services(commands: Commands) -> None:
    web = _add(commands, "web", "serve the API")
    web.add_argument("--with-logs", action="store_true", help="and do what `logs` does, in the same process")
    web.set_defaults(run="services:web")
    for name, function, text in (
        ("content", "content", "work on the queue `content`: plans and their content"),
        ("logs", "logs", "work on the queue `logs`: the execution log, and chores"),
        ("all", "all_in_one", "the three in one process, for the smallest host"),
        ("start", "start", "what SERVICE_TYPE says: api, content, logs, web-logs or all (also without any command)"),
    ):
        _add(commands, name, text).set_defaults(run=f"services:{function}")
    health = _add(commands, "health", "whether the process on this PORT answers, for a container's health check")
    health.set_defaults(run="health:health")


def _add(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")


def _add_admin(commands: Commands) -> None:
    migrate = _add(commands, "migrate", "bring the database's schema up to date")
    migrate.add_argument("--dry-run", action="store_true", help="print the SQL that would run, change nothing")
    migrate.add_argument("--status", action="store_true", help="list what is applied and what is missing")
    migrate.set_defaults(run="admin:migrate")
    check = _add(commands, "check", "show the configuration and what answers; 1 when something is wrong")
    check.add_argument("--model", action="store_true", help="also ask the model one short question")
    check.set_defaults(run="check:check")


def _add_keys(commands: Commands) -> None:
    keys = _add(commands, "keys", "API keys").add_subparsers(title="commands", metavar="COMMAND", required=True)
    create = _add(keys, "create", "make an API key, which is printed once")
    create.add_argument("--email", required=True, help="whose key; the user is created when there is none")
    create.add_argument("--name", default="default", help="what the key is for")
    create.add_argument("--days", type=_positive, help="days until it expires (never)")
    create.add_argument("--operator", action="store_true", help="may also operate the service (/v1/admin)")
    create.set_defaults(run="accounts:create_key")
    listing = _add(keys, "list", "list API keys, newest first; none shows its secret")
    listing.add_argument("--email", help="of this user alone")
    listing.set_defaults(run="accounts:list_keys")
    revoke = _add(keys, "revoke", "end an API key, within seconds and for good")
    revoke.add_argument("id", metavar="ID", help="key_…, as the list shows it")
    revoke.set_defaults(run="accounts:revoke_key")


def _add_accounts(commands: Commands) -> None:
    about = "operators' accounts, for the monitor"
    admin = _add(commands, "admin", about).add_subparsers(title="commands", metavar="COMMAND", required=True)
    create = _add(admin, "create", "make an account; the password is asked for")
    password = _add(admin, "password", "set a password; ends the account's sessions")
    role = _add(admin, "role", "change what an account may do; ends its sessions, below operator its operator keys too")
    for command in (create, password, role):
        command.add_argument("--email", required=True, help="whose account")
    for command in (create, password):
        command.add_argument("--password-stdin", action="store_true", help="read it from stdin instead, one line")
    create.add_argument("--role", choices=("viewer", "operator"), default="operator", help="(operator)")
    role.add_argument("--role", choices=("learner", "viewer", "operator"), required=True, help="learner: none at all")
    create.set_defaults(run="accounts:create")
    password.set_defaults(run="accounts:set_password")
    role.set_defaults(run="accounts:set_role")
    _add(admin, "list", "list accounts").set_defaults(run="accounts:list_accounts")


def _add_dead_jobs(commands: Commands) -> None:
    about = "work that was given up: list it, retry it, discard it"
    dead_jobs = _add(commands, "dead-jobs", about).add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = _add(dead_jobs, "list", "list dead jobs, newest first")
    listing.add_argument("--status", choices=("dead", "retried", "discarded", "all"), default="dead", help="(dead)")
    listing.add_argument("--function", help="draft, write_concept, write_log_batch")
    listing.add_argument("--fingerprint", help="of a group")
    listing.add_argument("--limit", type=_positive, default=50, help="at most so many (50)")
    listing.set_defaults(run="dead_jobs:list_all")
    groups = _add(dead_jobs, "groups", "list dead jobs by fault, the most frequent first")
    groups.set_defaults(run="dead_jobs:list_groups")
    for command in (listing, groups):
        command.add_argument("--json", action="store_true", help="as JSON, in full")
    show = _add(dead_jobs, "show", "show one with its payload and traceback")
    show.add_argument("id", metavar="ID")
    show.set_defaults(run="dead_jobs:show")
    _add_resolutions(dead_jobs)


def _add_queues(commands: Commands) -> None:
    queues = _add(commands, "queues", "how the queues stand; pause and resume them").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    listing = _add(queues, "list", "show each queue")
    listing.add_argument("--json", action="store_true", help="as JSON, in full")
    listing.set_defaults(run="queues:list_all")
    for name, text in (
        ("pause", "let its workers take no more jobs; what runs goes on, what comes waits"),
        ("resume", "let its workers take jobs again"),
    ):
        command = _add(queues, name, text)
        command.add_argument("name", choices=("content", "logs"), metavar="NAME", help="content or logs")
        command.set_defaults(run=f"queues:{name}")


def _add_resolutions(dead_jobs: Commands) -> None:
    for name, text, done in (
        ("retry", "take dead jobs up again; 1 when any is left", "retried"),
        ("discard", "mark dead jobs as dealt with, change nothing else; 1 when any is left", "discarded"),
    ):
        command = _add(dead_jobs, name, text)
        which = command.add_mutually_exclusive_group(required=True)
        which.add_argument("ids", metavar="ID", nargs="*", default=[], help="these")
        which.add_argument("--fingerprint", help="those of a group")
        which.add_argument("--all", action="store_true", help="all of them")
        command.set_defaults(run=f"dead_jobs:{name}", done=done)


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError("must be between 0 and 65535")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _add_local(commands: Commands) -> None:
    dev = _add(commands, "dev", "run everything on this machine, with its own PostgreSQL and Redis")
    dev.add_argument("--port", type=_port, help="port of the API (PORT, or 8000)")
    dev.set_defaults(run="local:dev")
    demo = _add(commands, "demo", "make one roadmap here and now, and show it")
    demo.add_argument("goal", nargs="?", default="Learn SQL in six weeks, 5 hours a week", help="what to learn")
    demo.add_argument("--keep", action="store_true", help="leave everything running afterwards")
    demo.add_argument("--language", default="en", help="of the roadmap: en, zh, … (en)")
    demo.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for the roadmap (120)")
    demo.set_defaults(run="local:demo")
    for command in (dev, demo):
        command.add_argument(
            "--data-dir",
            type=Path,
            default=Path(os.environ.get("DATA_DIR", ".data")),
            help="where the servers keep their files (.data)",
        )
    model = _add(commands, "offline-model", "serve the built-in model over HTTP, for tests and benchmarks")
    model.add_argument("--port", type=_port, default=0, help="0 picks a free one")
    model.add_argument("--latency-ms", type=int, default=0, help="how long each answer takes")
    shares = 'shares of calls that fail: "429=0.05,500=0.01"; also stall, garbage, truncation, reset'
    model.add_argument("--faults", default="", help=shares)
    model.add_argument("--seed", type=int, default=0, help="of the faults")
    model.set_defaults(run="offline:serve")
