"""`roadmap web`, `content`, `logs`, `all` and `start`: one process each, of one role or several."""

import asyncio
import os
import sys
from argparse import Namespace
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog
import uvloop

from roadmap.diagnostics import configure_diagnostics
from roadmap.errors import Misconfigured
from roadmap.heartbeat import Process
from roadmap.processes.house import Role
from roadmap.processes.serving import serve
from roadmap.runtime import title
from roadmap.settings import Settings, read_settings

__all__ = ["all_in_one", "configure", "content", "logs", "run", "start", "web"]

log = structlog.get_logger()

OLD_NAMES = {"celery_logs": "logs", "celery_content": "content"}
TYPES = {
    "api": (Process.WEB,),
    "web": (Process.WEB,),
    "content": (Process.CONTENT,),
    "logs": (Process.LOGS,),
    "web-logs": (Process.WEB, Process.LOGS),
    "all": tuple(Process),
}


def web(arguments: Namespace) -> int:
    return _serve(TYPES["web-logs" if arguments.with_logs else "web"])


def content(_arguments: Namespace) -> int:
    return _serve((Process.CONTENT,))


def logs(_arguments: Namespace) -> int:
    return _serve((Process.LOGS,))


def all_in_one(_arguments: Namespace) -> int:
    return _serve(tuple(Process))


def start(_arguments: Namespace) -> int:
    """Raises Misconfigured for a SERVICE_TYPE that names none."""
    wanted = os.environ.get("SERVICE_TYPE", "").strip().lower()
    if wanted in OLD_NAMES:
        print(f"roadmap: SERVICE_TYPE={wanted} is an old name of {OLD_NAMES[wanted]}", file=sys.stderr)
    roles = TYPES.get(OLD_NAMES.get(wanted, wanted))
    if roles is None:
        said = f"is {wanted!r}" if wanted else "is not set"
        raise Misconfigured(
            f"SERVICE_TYPE {said}: set api, content, logs, web-logs or all, or name a command (`roadmap --help`)"
        )
    return _serve(roles)


def _serve(names: Iterable[Process]) -> int:
    if Process.WEB in names:
        _refuse_more_than_one()
    return run(serve(configure(title(names)), *(_role(name) for name in names)))


def _refuse_more_than_one() -> None:
    """What asks a server for several processes behind one socket. Raises Misconfigured: ours is one loop, and the
    host's balancer knows how to choose among replicas."""
    wanted = os.environ.get("WEB_CONCURRENCY", "").strip()
    if wanted not in {"", "1"}:
        raise Misconfigured(f"WEB_CONCURRENCY is {wanted}: one process serves; unset it, and add replicas instead")


def _role(name: Process) -> Role:
    if name is Process.WEB:
        from roadmap.web.server import WEB

        return WEB
    from roadmap.processes.worker import role_of

    if name is Process.CONTENT:
        from workers.content import WORK
    else:
        from workers.logs import WORK
    return role_of(WORK)


def configure(process: str) -> Settings:
    settings = read_settings()
    configure_diagnostics(settings.log_level, process=process, secrets=settings.secrets())
    return settings


def run(work: Coroutine[Any, Any, None]) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
    return 0
