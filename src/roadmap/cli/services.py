"""`roadmap web`, `content`, `logs` and `start`: one process each."""

import asyncio
import os
import sys
from argparse import Namespace
from collections.abc import Coroutine
from typing import Any

import structlog
import uvloop

from roadmap.diagnostics import configure_diagnostics
from roadmap.errors import Misconfigured
from roadmap.settings import Settings, read_settings

__all__ = ["configure", "content", "logs", "start", "web"]

log = structlog.get_logger()

OLD_NAMES = {"celery_logs": "logs", "celery_content": "content"}


def web(_arguments: Namespace) -> int:
    from roadmap.web.server import serve_web

    settings = configure("web")
    return _run(serve_web(settings))


def content(_arguments: Namespace) -> int:
    settings = configure("content")
    from workers.content import FUNCTIONS, open_tools
    from workers.process import serve

    return _run(serve(settings, "content", FUNCTIONS, open_tools))


def logs(_arguments: Namespace) -> int:
    settings = configure("logs")
    from workers.logs import FUNCTIONS, open_tools
    from workers.process import serve

    return _run(serve(settings, "logs", FUNCTIONS, open_tools))


def start(arguments: Namespace) -> int:
    """Raises Misconfigured for a SERVICE_TYPE that names none of the three."""
    wanted = os.environ.get("SERVICE_TYPE", "").strip().lower()
    if wanted in OLD_NAMES:
        print(f"roadmap: SERVICE_TYPE={wanted} is an old name of {OLD_NAMES[wanted]}", file=sys.stderr)
    services = {"api": web, "web": web, "content": content, "logs": logs}
    service = services.get(OLD_NAMES.get(wanted, wanted))
    if service is None:
        said = f"is {wanted!r}" if wanted else "is not set"
        raise Misconfigured(f"SERVICE_TYPE {said}: set api, content or logs, or name a command (`roadmap --help`)")
    return service(arguments)


def configure(process: str) -> Settings:
    settings = read_settings()
    configure_diagnostics(settings.log_level, process=process)
    return settings


def _run(work: Coroutine[Any, Any, None]) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
    return 0
