"""What the roles of a process share, and what a role is."""

import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from roadmap.heartbeat import Process
from roadmap.probes.listening import port_of
from roadmap.probes.readiness import Readiness
from roadmap.processes.hibernation import Hibernation
from roadmap.runtime import Runtime
from roadmap.signals import Stop
from roadmap.watchdog import Watchdog

__all__ = ["House", "Role"]


@dataclass(frozen=True, slots=True)
class House:
    """`listener` is this process's socket; None: nobody asked for one. `hibernation`: None: it does not sleep."""

    runtime: Runtime
    watchdog: Watchdog
    readiness: Readiness
    listener: socket.socket | None
    hibernation: Hibernation | None = None

    @property
    def port(self) -> int | None:
        return None if self.listener is None else port_of(self.listener)


@dataclass(frozen=True, slots=True)
class Role:
    """`serve` returns when it was asked to stop. It says by what it is to be asked, once it is more than a start."""

    process: Process
    serve: Callable[[House, Stop], Coroutine[Any, Any, None]]
