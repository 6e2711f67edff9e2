"""What the lifespan hands to every request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypedDict
from uuid import UUID

import structlog

from roadmap.accounts.keys import KeyRing, local_user
from roadmap.accounts.passwords import Passwords, open_passwords
from roadmap.accounts.service import ensure_first_operator
from roadmap.accounts.sessions import Keys, Roster, make_up_key, read_keys
from roadmap.errors import Invalid, Misconfigured
from roadmap.events.hub import Hub, open_hub
from roadmap.monitor.looks import Looks
from roadmap.probes.readiness import Checks, Readiness
from roadmap.runtime import Runtime
from roadmap.settings import AuthMode, Environment, Settings
from roadmap.web.pages.frame import Tools
from roadmap.web.pages.live import Live, open_live

__all__ = ["LifespanState", "WebState", "open_web"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WebState:
    runtime: Runtime
    hub: Hub
    keys: KeyRing
    readiness: Readiness
    local_user: UUID | None
    sessions: Keys
    roster: Roster
    passwords: Passwords
    live: Live
    looks: Looks = field(default_factory=Looks)

    async def look(self) -> tuple[bool, Checks]:
        return await self.readiness.look()


class LifespanState(TypedDict):
    web: WebState
    hub: Hub
    looks: Looks


@asynccontextmanager
async def open_web(runtime: Runtime, readiness: Readiness) -> AsyncIterator[WebState]:
    """Raises Misconfigured for settings with which nobody should sign in."""
    sessions = session_keys(runtime.settings)
    with open_passwords() as passwords:
        await _create_first_operator(runtime, passwords)
        looks = Looks()
        async with (
            open_hub(runtime.db, runtime.queue) as hub,
            open_live(Tools(runtime.db, runtime.queue, looks)) as live,
        ):
            runtime.metrics.gauge("roadmap_event_streams", "Clients that follow a roadmap just now.", hub.count)
            user_id = await _local_user(runtime)
            yield WebState(runtime, hub, KeyRing(), readiness, user_id, sessions, Roster(), passwords, live, looks)


def session_keys(settings: Settings) -> Keys:
    """Raises Misconfigured in production, unless there is a key that nobody can guess."""
    current, previous = settings.jwt_secret_key.get_secret_value(), settings.jwt_secret_key_previous.get_secret_value()
    keys = read_keys(current, previous, strict=settings.environment is Environment.PRODUCTION)
    if keys is None:
        log.info("session_key_made_up", advice="sessions end with this process; set JWT_SECRET_KEY to keep them")
    return keys or Keys(make_up_key())


async def _local_user(runtime: Runtime) -> UUID | None:
    if runtime.settings.auth_mode is not AuthMode.NONE:
        return None
    log.warning("auth_mode_none", advice="anybody who reaches this port is the one user; set AUTH_MODE=keys")
    return await local_user(runtime.db)


async def _create_first_operator(runtime: Runtime, passwords: Passwords) -> None:
    """Here and not in the release step: who signs operators in needs no other process to have known the password."""
    email, password = runtime.settings.admin_email, runtime.settings.admin_password.get_secret_value()
    if not email:
        return
    try:
        if await ensure_first_operator(runtime.db, passwords, email, password):
            log.info("first_operator_created")
    except Invalid as exc:
        raise Misconfigured(f"ADMIN_EMAIL and ADMIN_PASSWORD: {exc}") from exc
