"""A closed set lives once, as an enum; the database and the OpenAPI document say the same (lesson 16)."""

import re
from enum import StrEnum
from typing import Any

from roadmap.accounts.model import Role
from roadmap.audit.model import Action
from roadmap.content.model import ContentStatus, LinkCheck, ResourceKind
from roadmap.database import Database
from roadmap.dead_jobs.model import DeadJobStatus
from roadmap.execution_log.model import Category, Level
from roadmap.heartbeat import Process
from roadmap.llm.model import CallStatus
from roadmap.monitor.model import Health, WorkerState
from roadmap.monitor.service.queues import QUEUES
from roadmap.roadmaps.model import Format, Kind, LearnerLevel, Size
from roadmap.runs.model import ACTIVE, RunKind, RunStatus
from roadmap.web.openapi import document

CHECKED: dict[str, type[StrEnum]] = {
    "audit_log.action": Action,
    "content.kind": Kind,
    "content.status": ContentStatus,
    "dead_jobs.kind": Kind,
    "dead_jobs.status": DeadJobStatus,
    "execution_log.category": Category,
    "execution_log.level": Level,
    "model_calls.status": CallStatus,
    "runs.kind": RunKind,
    "runs.status": RunStatus,
    "users.role": Role,
    "workers.process": Process,
}
# Columns that sound like a closed set and have no CHECK, with the reason.
UNCHECKED = {
    "content_versions.kind": "a foreign key to content.kind",
    "events.type": "each release adds some, and old ones stay: no row is read by its type",
    "process_minutes.process": "a process's name, as in workers.name",
    "model_calls.kind": "written once, from Kind, and empty for a draft's calls",
}
CLOSED_NAMES = ("kind", "status", "level", "category", "type", "process", "role", "action")
SHOWN: tuple[type[StrEnum], ...] = (
    Action, CallStatus, Category, ContentStatus, DeadJobStatus, Format, Health, Kind, LearnerLevel, Level, LinkCheck,
    Process, ResourceKind, RunKind, RunStatus, Size, WorkerState,
)  # fmt: skip

CHECKS = """
SELECT c.conrelid::regclass::text AS table_name, pg_get_constraintdef(c.oid) AS definition
FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid
WHERE c.contype = 'c' AND c.connamespace = 'public'::regnamespace AND NOT t.relispartition
"""
COLUMNS = """
SELECT t.relname || '.' || a.attname
FROM pg_attribute a
JOIN pg_class t ON t.oid = a.attrelid
WHERE t.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p') AND NOT t.relispartition
    AND a.attnum > 0 AND a.attname = ANY ($1) AND a.atttypid = 'text'::regtype
"""
PREDICATES = (
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef ~ ' WHERE '"
)


async def test_the_checks_of_the_database_are_the_enums(database: Database) -> None:
    found = {}
    for row in await database.fetch(CHECKS):
        if (read := read_check(row["definition"])) is not None:
            column, words = read
            found[f"{row['table_name']}.{column}"] = words
    assert found == {column: set(closed) for column, closed in CHECKED.items()} | {"paused_queues.name": set(QUEUES)}


async def test_every_column_of_a_closed_set_has_a_check_or_a_reason(database: Database) -> None:
    columns = {row[0] for row in await database.fetch(COLUMNS, CLOSED_NAMES)}
    assert columns == set(CHECKED) | set(UNCHECKED)


async def test_partial_indexes_and_the_end_of_a_run_speak_of_the_active_states(database: Database) -> None:
    rows = await database.fetch(PREDICATES)
    of_runs = {
        row["indexname"]: words(row["indexdef"]) for row in rows if "status" in row["indexdef"].split("WHERE")[1]
    }
    assert {name: found for name, found in of_runs.items() if name.startswith("runs_") and found != set(ACTIVE)} == {}
    finished = [row["definition"] for row in await database.fetch(CHECKS) if "finished_at" in row["definition"]]
    assert [words(definition) for definition in finished] == [set(ACTIVE)]


def test_the_document_shows_each_closed_set_under_its_name() -> None:
    schemas = document()["components"]["schemas"]
    shown = {name: {*schema.get("enum", ()), *words_of_one(schema)} for name, schema in schemas.items()}
    named = {name: found for name, found in shown.items() if found}
    assert named == {closed.__name__: set(closed) for closed in SHOWN}


def test_no_closed_set_is_written_out_a_second_time_in_the_document() -> None:
    assert list(inline_sets({"properties": {"kind": {"enum": ["a", "b"]}}})) == [["a", "b"]]
    models = document()["components"]["schemas"].values()
    assert [found for model in models for found in inline_sets(model.get("properties", {}))] == []


def test_a_check_of_one_word_or_of_several_is_read() -> None:
    assert read_check("CHECK ((kind = 'create'::text))") == ("kind", {"create"})
    assert read_check("CHECK ((kind = ANY (ARRAY['a'::text, 'b'::text])))") == ("kind", {"a", "b"})
    assert read_check("CHECK ((version > 0))") is None


def read_check(definition: str) -> tuple[str, set[str]] | None:
    """The column and its words, of a CHECK that is about nothing else."""
    match = re.fullmatch(r"CHECK \(\((\w+) = (?:ANY \(ARRAY\[.*\]\)|'\w+'::text)\)\)", definition)
    return (match[1], words(definition)) if match else None


def words(definition: str) -> set[str]:
    return set(re.findall(r"'([^']*)'::text", definition))


def words_of_one(schema: dict[str, Any]) -> list[str]:
    """A set of one word is written as `const`."""
    return [schema["const"]] if "const" in schema else []


def inline_sets(schema: Any) -> list[list[str]]:
    found = [schema["enum"]] if isinstance(schema, dict) and isinstance(schema.get("enum"), list) else []
    children = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return found + [inner for child in children for inner in inline_sets(child)]
