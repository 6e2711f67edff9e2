"""Writes the table of faults in docs/reliability.md from the marks of the tests; a test compares the two."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: written by scripts/faults_table.py -->", "<!-- end of faults -->"

FAULTS = {
    "F1": "a content worker is killed while the model thinks",
    "F2": "… between the model's answer and the commit",
    "F3": "… between the commit and the end of its job",
    "F4": "… is frozen past its lease, and wakes up",
    "F5": "SIGTERM in mid-job, with a short and a long grace",
    "F6": "signals again and again, and during the start",
    "F7": "the logs worker is killed before, in and after its commit",
    "F8": "web is killed after its 202, or before the enqueue",
    "F9": "Redis is killed and comes back empty; FLUSHALL",
    "F10": "Redis is away",
    "F11": "connections are cut; Redis pauses",
    "F12": "Redis is a black hole",
    "F13": "Redis is full",
    "F14": "PostgreSQL is stopped at once and started again",
    "F15": "all our sessions are ended every 3 s",
    "F16": "a table is locked; transactions lose races",
    "F17": "200 requests at once on 5 connections",
    "F18": "PgBouncer in front, by transactions",
    "F19": "the provider refuses, hangs, babbles",
    "F20": "an answer is lost after it was made",
    "F21": "work that kills its worker each time",
    "F22": "what is no job of ours is on the queue",
    "F23": "a job is delivered twice at once",
    "F24": "fifty equal requests with one key",
    "F26": "the event loop is blocked",
    "F27": "a rolling deploy under load",
    "F28": "two migrations at once; one is killed",
    "F30": "a flood of log entries over a slow PostgreSQL",
    "F31": "500 event streams are cut or not read",
    "F32": "a person cancels in mid-work",
}


def table() -> str:
    places = {fault: Counter[str]() for fault in FAULTS}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for fault in marks_of(ast.parse(path.read_text(encoding="utf-8"))):
            places[fault][path.relative_to(ROOT).as_posix()] += 1
    rows = [f"| {fault} | {FAULTS[fault]} | {_show(found)} |" for fault, found in places.items()]
    return "\n".join(["| | fault | tests |", "| --- | --- | --- |", *rows])


def written(page: str) -> str:
    """The page with its table brought up to date."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table()}\n{END}", page, flags=re.DOTALL)


def marks_of(module: ast.Module) -> Iterator[str]:
    """The faults that the module's tests say they show, once for each test."""
    shared = [fault for statement in module.body if isinstance(statement, ast.Assign) for fault in _marks(statement)]
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name.startswith("test_"):
            yield from (fault for mark in statement.decorator_list for fault in _marks(mark))
            yield from shared


def _marks(statement: ast.AST) -> Iterator[str]:
    for call in ast.walk(statement):
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("mark.fault"):
            yield from (str(ast.literal_eval(argument)) for argument in call.args)


def _show(found: Counter[str]) -> str:
    return ", ".join(f"{path.removeprefix('tests/')} ({count})" for path, count in found.items()) or "none"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
