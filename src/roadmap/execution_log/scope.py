"""What the work of this moment is about, known to every note and diagnostics line in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

import structlog

from roadmap.ids import Prefix, show_id

__all__ = ["Scope", "current_scope", "scope"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What an entry is about."""

    run_id: UUID | None = None
    concept_id: UUID | None = None
    step: str | None = None


_scope: ContextVar[Scope] = ContextVar("execution_log_scope", default=Scope())  # noqa: B039 - it is frozen


@contextmanager
def scope(*, run_id: UUID | None = None, concept_id: UUID | None = None, step: str | None = None) -> Iterator[None]:
    """Says what the notes and diagnostics inside are about; what is left out stays as in the outer scope."""
    outer = _scope.get()
    inner = Scope(run_id or outer.run_id, concept_id or outer.concept_id, step or outer.step)
    fields = {
        "run": run_id and show_id(Prefix.RUN, run_id),
        "concept": concept_id and show_id(Prefix.CONCEPT, concept_id),
        "step": step,
    }
    token = _scope.set(inner)
    try:
        with structlog.contextvars.bound_contextvars(**{name: value for name, value in fields.items() if value}):
            yield
    finally:
        _scope.reset(token)


def current_scope() -> Scope:
    return _scope.get()
