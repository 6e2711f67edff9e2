"""Every statement is a constant that the migrated schema accepts; every foreign key says what a delete does."""

import ast
import importlib
import re
from collections.abc import Iterator

import asyncpg
from project_code import Module, dotted, everywhere, our_modules, read_module

from roadmap.database import Database

# What PostgreSQL can prepare. (CREATE, LOCK and the like are run by the tests of the migrations.)
STATEMENT = re.compile(r"\s*(SELECT\s|INSERT INTO\s|UPDATE [\w.]+|DELETE FROM\s|WITH (RECURSIVE )?\w+ (\(.*?\) )?AS\s)")
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
RUNNERS = {"execute", "executemany", "fetch", "fetchrow", "fetchval", "prepare", "cursor"}

# Foreign keys that refuse a delete, with the reason.
REFUSING_KEYS = {"roadmaps.latest_run_id": "checked at commit; a run goes with its roadmap, never alone"}

FOREIGN_KEYS = """
SELECT c.conrelid::regclass::text || '.' || string_agg(a.attname, ',' ORDER BY a.attnum)
FROM pg_constraint c
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
WHERE c.contype = 'f' AND c.confdeltype = 'a'
GROUP BY c.oid, c.conrelid
"""


def constants(module: Module) -> Iterator[str]:
    """The names of the module's statements."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and STATEMENT.match(text_of(node.value)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            yield dotted(target)


def find_unnamed_statements(module: Module) -> list[str]:
    """SQL that is not an UPPER_CASE constant of its module."""
    named = {id(part) for node in module.tree.body if _is_constant(node) for part in ast.walk(node)}
    docs = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
    return [
        module.at(node, f"SQL outside a constant: {text_of(node).split()[0]} …")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in named | docs
        if STATEMENT.match(text_of(node))
    ]


def find_built_statements(module: Module) -> list[str]:
    """Statements put together from anything but constants, and calls that hand over something put together."""
    built = [node for node in module.tree.body if _is_constant(node) and not _is_fixed(node)]
    handed = [
        call
        for call in ast.walk(module.tree)
        if isinstance(call, ast.Call) and dotted(call.func).rpartition(".")[2] in RUNNERS and call.args
        if isinstance(call.args[0], ast.JoinedStr | ast.BinOp) or dotted(call.args[0]).endswith(".format")
    ]
    return [module.at(node, "SQL is put together") for node in [*built, *handed]]


def text_of(node: ast.expr) -> str:
    """The text of a string, as far as it is known without running the code."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=[first, *_]):
            return text_of(first)
        case ast.BinOp(left=left):
            return text_of(left)
        case ast.Call(func=ast.Attribute(value=inner)):
            return text_of(inner)
        case _:
            return ""


def _is_constant(node: ast.stmt) -> bool:
    match node:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(target=ast.Name(id=name), value=value)
        ):
            return value is not None and bool(CONSTANT.fullmatch(name) and STATEMENT.match(text_of(value)))
        case _:
            return False


def _is_fixed(node: ast.AST) -> bool:
    """Whether only literals and other constants go into it."""
    names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    calls = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
    return not calls and all(CONSTANT.fullmatch(name) for name in names)


STATEMENTS = [(module.name, name) for module in our_modules() for name in constants(module)]


def test_there_are_statements_to_prepare() -> None:
    assert list(constants(read_module('GET = """\nSELECT 1\n"""\n_ADD: str = "INSERT INTO t VALUES ($1)"'))) == [
        "GET",
        "_ADD",
    ]
    assert len(STATEMENTS) > 40


async def test_the_schema_accepts_every_statement(database: Database) -> None:
    refusals = [await refusal(database, f"{module}.{name}", load(module, name)) for module, name in STATEMENTS]
    assert [refused for refused in refusals if refused] == []


async def test_a_statement_on_a_table_that_is_not_there_is_refused(database: Database) -> None:
    refused = await refusal(database, "roadmap.example.GET", "SELECT id FROM lost")
    assert refused == 'roadmap.example.GET: relation "lost" does not exist'


async def refusal(database: Database, name: str, statement: str) -> str | None:
    try:
        async with database.transaction() as tx:
            await tx.prepare(statement)
    except asyncpg.PostgresError as exc:
        return f"{name}: {exc}"
    return None


def load(module: str, name: str) -> str:
    statement: str = getattr(importlib.import_module(module), name)
    return statement


def test_every_statement_is_a_constant() -> None:
    told = 'def f():\n    """SELECT is only told of here."""'
    bad = 'async def f(db):\n    await db.fetch("SELECT 1 FROM t")\nget = "SELECT 1"'
    assert len(find_unnamed_statements(read_module(bad))) == 2
    assert find_unnamed_statements(read_module('GET = "SELECT 1"\n' + told)) == []
    assert everywhere(find_unnamed_statements) == []


def test_no_statement_is_put_together_at_run_time() -> None:
    bad = 'GET = f"SELECT {column()} FROM t"\nasync def f(db):\n    await db.fetch(GET + where)'
    fine = 'COLUMNS = "a, b"\nGET = f"SELECT {COLUMNS} FROM t"'
    assert len(find_built_statements(read_module(bad))) == 2
    assert len(find_built_statements(read_module("db.execute(DROP.format(name))"))) == 1
    assert find_built_statements(read_module(fine)) == []
    assert everywhere(find_built_statements) == []


async def test_every_foreign_key_says_what_a_delete_does(database: Database) -> None:
    assert {row[0] for row in await database.fetch(FOREIGN_KEYS)} == set(REFUSING_KEYS)
