"""What the lifespan hands to every request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypedDict
from uuid import UUID

import structlog

from roadmap.accounts.keys import KeyRing, local_user
from roadmap.events.hub import Hub, open_hub
from roadmap.runtime import Process, Runtime, open_runtime
from roadmap.settings import AuthMode, Settings
from roadmap.web.health import Readiness

__all__ = ["LifespanState", "WebState", "open_web"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WebState:
    runtime: Runtime
    hub: Hub
    keys: KeyRing
    readiness: Readiness
    local_user: UUID | None


class LifespanState(TypedDict):
    web: WebState
    hub: Hub


@asynccontextmanager
async def open_web(settings: Settings) -> AsyncIterator[WebState]:
    async with open_runtime(settings, Process.WEB) as runtime, open_hub(runtime.db, runtime.queue) as hub:
        user_id = None
        if settings.auth_mode is AuthMode.NONE:
            user_id = await local_user(runtime.db)
            log.warning("auth_mode_none", advice="anybody who reaches this port is the one user; set AUTH_MODE=keys")
        yield WebState(runtime, hub, KeyRing(), Readiness(runtime.db, runtime.queue), user_id)
