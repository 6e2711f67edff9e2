"""Names come from the glossary (design §3): what is never said, and what says nothing."""

import ast
import re
from collections.abc import Iterator

from project_code import Module, everywhere, read_module

from roadmap.database import Database
from roadmap.web.openapi import document

# asyncio's tasks keep their name in variables; nothing of ours is a task.
NEVER = {"framework", "agent", "node", "lesson", "trace", "manager", "helper", "util", "utils", "impl"}
NEVER_A_CLASS = NEVER | {"base", "task"}
NEVER_A_PLACE = NEVER | {"base", "task"}
EMPTY = {"data", "info", "obj"}
# A page of a list calls its items `data`: the API's convention, fixed by its design.
THE_APIS = {"data"}
# Names that another's interface asks for.
FOREIGN = {("roadmap.diagnostics", "info"): "a structlog logger's method"} | {
    (f"roadmap.monitor.model.{idea}", "data"): "what a page of the API shows as it is"
    for idea in ("failures", "functions", "processes", "queues", "runs")
}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

COLUMNS = """
SELECT t.relname || '.' || a.attname
FROM pg_attribute a
JOIN pg_class t ON t.oid = a.attrelid
WHERE t.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p') AND a.attnum > 0
"""


def find_bad_names(module: Module) -> list[str]:
    file = [f"{module.path}: the file's name"] if NEVER_A_PLACE & set(words(module.name)) else []
    return file + [
        module.at(node, f"the name {name}")
        for node, name in defined(module.tree)
        if is_bad(node, name) and (module.name, name) not in FOREIGN
    ]


def find_unfinished(module: Module) -> list[str]:
    lines = enumerate(module.text.splitlines(), start=1)
    marks = [f"{module.path}:{number}: {found[0]}" for number, line in lines if (found := UNFINISHED.search(line))]
    stubs = [
        module.at(node, "NotImplementedError")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name) and node.id == "NotImplementedError"
    ]
    return marks + stubs


def defined(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every name that our code gives; the fields of an API model are the API's."""
    the_apis = set(api_fields(tree))
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node, name
            case ast.Name(id=name, ctx=ast.Store()) if node not in the_apis:
                yield node, name
            case ast.arg(arg=name) | ast.alias(asname=str(name)):
                yield node, name


def api_fields(tree: ast.AST) -> Iterator[ast.AST]:
    for model in ast.walk(tree):
        if isinstance(model, ast.ClassDef) and "BaseModel" in map(ast.unparse, model.bases):
            fields = [line.target for line in model.body if isinstance(line, ast.AnnAssign)]
            yield from (field for field in fields if ast.unparse(field) in THE_APIS)


def is_bad(node: ast.AST, name: str) -> bool:
    never = NEVER_A_CLASS if isinstance(node, ast.ClassDef) else NEVER
    return bool(never & set(words(name))) or name in EMPTY


def words(name: str) -> list[str]:
    """`RunManager` and `run_manager` are run and manager; in the plural too."""
    found = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    return found + [word.removesuffix("s") for word in found]


def test_names_are_of_the_glossary_and_say_something() -> None:
    bad = "class RunManager: ...\nclass BaseStore: ...\ndef load_utils(data): ...\nfor node in nodes: ..."
    fine = "class Database: ...\nasync def f(group):\n    task = group.create_task(g())\nbase_url = traceback = 1"
    assert len(find_bad_names(read_module(bad))) == 5
    assert find_bad_names(read_module(fine)) == []
    assert find_bad_names(read_module("", "src/roadmap/helpers.py")) == ["src/roadmap/helpers.py: the file's name"]
    assert everywhere(find_bad_names) == []


def test_only_a_page_of_the_api_calls_its_items_data() -> None:
    assert find_bad_names(read_module("class RunList(BaseModel):\n    data: list[int]")) == []
    assert len(find_bad_names(read_module("class RunList:\n    data: list[int]"))) == 1


async def test_tables_and_columns_are_named_from_the_glossary(database: Database) -> None:
    names = [row[0] for row in await database.fetch(COLUMNS)]
    assert len(names) > 50
    assert [name for name in names if NEVER_A_PLACE & set(words(name))] == []


def test_addresses_and_fields_of_the_api_are_named_from_the_glossary() -> None:
    shown = document()
    schemas = shown["components"]["schemas"]
    fields = [f"{name}.{field}" for name, schema in schemas.items() for field in schema.get("properties", {})]
    assert [name for name in [*shown["paths"], *fields] if NEVER_A_PLACE & set(words(name))] == []


def test_nothing_is_left_for_later() -> None:
    assert len(find_unfinished(read_module("# TO" + "DO: more\ndef f(): raise NotImplementedError"))) == 2
    assert everywhere(find_unfinished) == []
