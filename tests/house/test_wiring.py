"""What is wired by name: the URL table, and the settings that stock arq reads."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

import arq
import pytest

from roadmap.runs.dispatch import ARGUMENTS
from roadmap.web.routes import OPERATIONS
from workers import content, logs


def find_unknown_settings(settings: Any) -> set[str]:
    """Names that arq would ignore without a word: it reads a class's own attributes, or a dict's keys."""
    named = settings if isinstance(settings, dict) else {name for name in vars(settings) if not name.startswith("__")}
    return set(named) - set(inspect.signature(arq.Worker).parameters)


def find_shadowed(routes: Iterable[tuple[str, str]]) -> list[str]:
    """Routes that can never be reached, or only by luck: an earlier one of the same method takes their paths."""
    seen: list[tuple[str, str]] = []
    shadowed = []
    for method, path in routes:
        shadowed += [f"{method} {path} after {other}" for verb, other in seen if verb == method and takes(other, path)]
        seen.append((method, path))
    return shadowed


def takes(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path) is not None


@pytest.mark.parametrize("settings", [content.WorkerSettings, logs.WorkerSettings], ids=["content", "logs"])
def test_arq_knows_every_name_of_the_worker_settings(settings: Any) -> None:
    assert find_unknown_settings(settings) == set()
    assert {"functions", "queue_name", "redis_settings", "on_startup", "on_shutdown"} <= set(settings)


def test_a_dead_job_can_be_retried_for_every_function_that_workers_know() -> None:
    known = {}
    for queue, pool in (("content", content), ("logs", logs)):
        for function in pool.FUNCTIONS:
            _, *parameters = inspect.signature(function.coroutine).parameters.values()
            assert {parameter.annotation for parameter in parameters} == {str}
            known[queue, function.name] = len(parameters)
    assert known == ARGUMENTS


def test_a_name_that_arq_does_not_know_is_noticed() -> None:
    class Settings:
        functions = ()
        max_job = 10

    assert find_unknown_settings(Settings) == {"max_job"}
    assert find_unknown_settings({"queue": "content"}) == {"queue"}


def test_every_route_can_be_reached() -> None:
    assert find_shadowed([("GET", "/a/{id}"), ("GET", "/a/new"), ("POST", "/a/new")]) == ["GET /a/new after /a/{id}"]
    assert find_shadowed([("GET", "/a/{id}"), ("GET", "/a/{key}")]) == ["GET /a/{key} after /a/{id}"]
    assert find_shadowed([("GET", "/a/new"), ("GET", "/a/{id}")]) == []
    assert find_shadowed((operation.method, operation.path) for operation in OPERATIONS) == []


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation.endpoint.__name__ for operation in OPERATIONS]
    assert sorted(names) == sorted(set(names))
