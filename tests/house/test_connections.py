"""Promise P6: while a connection is held, nothing but that connection is awaited; and there is one way to get one.

A block that holds one is checked, and so is every function that is handed one, whoever calls it: what it is handed is
known by the parameter's type. So nothing can be hidden in a helper, a callback or a function further down.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from project_code import Function, Module, dotted, everywhere, our_modules, own_nodes, read_module

# What gives a connection, to be held by `async with` and nothing else.
GIVERS = {"transaction", "_connection", "acquire"}
GIVEN = re.compile(r"\b(Connection|Executor|PoolConnectionProxy)\b")
# Where a block that holds one yields: to whom it gives it, who is checked in turn.
LENDERS = {
    "roadmap.database.Database.transaction": "whoever enters it",
    "roadmap.database.Database._connection": "the two methods beside it",
}
# Not of a pool: the release step has a session of its own, in which nothing is open while it waits for others to end.
RELEASE_STEP = {"roadmap.migrate._apply", "roadmap.migrate._take_lock", "roadmap.migrate.status"}
# Who may connect at all.
CONNECTORS = {"roadmap.database", "roadmap.migrate"}


@dataclass(frozen=True)
class Region:
    """Code that runs with a connection in hand, and the names under which it knows that."""

    handles: set[str]
    nodes: list[ast.AST]


def find_held_connections(module: Module) -> list[str]:
    return [
        module.at(node, f"waits for {ast.unparse(expression)[:60]!r} with a connection in hand")
        for region in [*_blocks(module.tree), *_functions(module)]
        for node, expression in _waits(region.nodes)
        if not _is_database(expression, region.handles)
    ]


def find_nameless_connections(module: Module) -> list[str]:
    """A transaction that nobody can use: what is awaited in it takes a second connection."""
    known = {name for region in [*_blocks(module.tree), *_functions(module)] for name in region.handles}
    return [
        module.at(item.context_expr, "a connection is held without a name")
        for item in _giving_items(module.tree)
        if item.optional_vars is None and dotted(item.context_expr).split(".")[0] not in known
    ]


def find_odd_givers(module: Module) -> list[str]:
    """Transactions that are not entered where they are made: an exit stack, a variable."""
    entered = {id(item.context_expr) for item in _giving_items(module.tree)}
    return [
        module.at(call, "a transaction is not entered by `async with` at once")
        for call in ast.walk(module.tree)
        if isinstance(call, ast.Call) and dotted(call.func).rpartition(".")[2] in GIVERS - {"acquire"}
        if id(call) not in entered
    ]


def find_other_ways_in(module: Module) -> list[str]:
    """The pool is the database's own, and of asyncpg others know the errors only."""
    if module.name in CONNECTORS:
        return []
    return [
        module.at(node, f"{ast.unparse(node)} is the database's own")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and (_is_private_pool(node) or _is_of_asyncpg(node))
    ]


def find_lenders(module: Module) -> list[str]:
    return [
        module.at(node, f"{name} yields with a connection in hand")
        for name, function in module.functions()
        for region in _own_blocks(function)
        for part in region.nodes
        for node in [part, *own_nodes(part)]
        if isinstance(node, ast.Yield | ast.YieldFrom) and name not in LENDERS
    ]


def _blocks(tree: ast.AST) -> Iterator[Region]:
    for block in ast.walk(tree):
        if isinstance(block, ast.AsyncWith):
            yield from _region_of(block)


def _own_blocks(function: Function) -> Iterator[Region]:
    for block in own_nodes(function):
        if isinstance(block, ast.AsyncWith):
            yield from _region_of(block)


def _region_of(block: ast.AsyncWith) -> Iterator[Region]:
    """What is entered after the connection, in the same line, is entered with it in hand."""
    for place, item in enumerate(block.items):
        if _gives(item) and item.optional_vars is not None:
            later: list[ast.AST] = [ast.AsyncWith(items=block.items[place + 1 :], body=[])]
            ast.copy_location(later[0], block)
            nodes = [*later, *block.body] if block.items[place + 1 :] else list(block.body)
            yield Region(_with_inner_names({dotted(item.optional_vars)}, nodes), nodes)


def _functions(module: Module) -> Iterator[Region]:
    for name, function in module.functions():
        given = {argument.arg for argument in _parameters(function) if _is_given(argument)}
        if given and isinstance(function, ast.AsyncFunctionDef) and name not in RELEASE_STEP:
            yield Region(_with_inner_names(given, list(function.body)), list(function.body))


def _parameters(function: Function) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _is_given(argument: ast.arg) -> bool:
    kind = ast.unparse(argument.annotation) if argument.annotation else ""
    return argument.arg == "tx" or bool(GIVEN.search(kind) and "Callable" not in kind)


def _with_inner_names(handles: set[str], nodes: list[ast.AST]) -> set[str]:
    """A savepoint may have a name of its own."""
    inner = {
        dotted(item.optional_vars)
        for node in nodes
        for item in _giving_items(node)
        if item.optional_vars and dotted(item.context_expr).split(".")[0] in handles
    }
    return handles | inner


def _giving_items(tree: ast.AST) -> Iterator[ast.withitem]:
    for block in ast.walk(tree):
        if isinstance(block, ast.AsyncWith):
            yield from (item for item in block.items if _gives(item))


def _gives(item: ast.withitem) -> bool:
    return isinstance(item.context_expr, ast.Call) and dotted(item.context_expr).rpartition(".")[2] in GIVERS


def _waits(nodes: list[ast.AST]) -> Iterator[tuple[ast.AST, ast.expr]]:
    """Each place that waits, and what it waits for."""
    for statement in nodes:
        for node in [statement, *own_nodes(statement)]:
            match node:
                case ast.Await(value=value):
                    yield node, value
                case ast.AsyncFor(iter=iterated) | ast.comprehension(iter=iterated, is_async=1):
                    yield iterated, iterated
                case ast.AsyncWith(items=items):
                    yield from ((item.context_expr, item.context_expr) for item in items)
                case _:
                    pass


def _is_database(waited: ast.expr, handles: set[str]) -> bool:
    """A method of the connection, or a function that is handed it. asyncio's own would do something beside it."""
    if not isinstance(waited, ast.Call) or dotted(waited.func).startswith("asyncio."):
        return False
    handed = [*waited.args, *(keyword.value for keyword in waited.keywords)]
    return dotted(waited.func).split(".")[0] in handles or any(
        isinstance(value, ast.Name) and value.id in handles for value in handed
    )


def _is_private_pool(node: ast.Attribute) -> bool:
    return node.attr in {"_pool", "_connection"} and dotted(node.value) != "self"


def _is_of_asyncpg(node: ast.Attribute) -> bool:
    return dotted(node.value).split(".")[0] == "asyncpg" and not node.attr.endswith(("Error", "exceptions"))


HOLD = "async def f(db):\n    async with db.transaction() as tx:\n        "
FINE = {
    "a statement": HOLD + "await tx.execute(SQL)",
    "a store's function": HOLD + "await store.add(tx, 1)",
    "by keyword": HOLD + "await store.add(1, db=tx)",
    "a cursor": HOLD + "async for row in tx.cursor(SQL): ...",
    "a savepoint": HOLD + "async with tx.transaction():\n            await tx.execute(SQL)",
    "a named savepoint": HOLD + "async with tx.transaction() as inner:\n            await inner.execute(SQL)",
    "what was handed in": HOLD + "await save(tx)",
    "afterwards": HOLD + "await tx.execute(SQL)\n    await llm.ask()",
    "before": "async def f(db):\n    async with llm.ask() as s, db.transaction() as tx:\n        await tx.execute(SQL)",
    "handed one": "async def f(db: Executor):\n    await db.execute(SQL)",
    "a callback's type": "async def f(work: Callable[[Connection], Awaitable[None]]):\n    await llm.ask()",
}
BAD = {
    "a model": HOLD + "await llm.ask()",
    "between statements": HOLD + "await tx.execute(SQL)\n        await llm.ask()\n        await tx.execute(SQL)",
    "in an argument": HOLD + "await tx.execute(await llm.ask())",
    "a pause": HOLD + "await asyncio.sleep(1)",
    "beside it": HOLD + "await asyncio.gather(store.add(tx), llm.ask(tx))",
    "named in passing": HOLD + "await llm.ask(len(tx.queries))",
    "a second connection": HOLD + "await db.fetch(SQL)",
    "a stream": HOLD + "async for line in response: ...",
    "a stream in a list": HOLD + "[line async for line in response]",
    "a block": HOLD + "async with client.stream() as answer: ...",
    "a time-out's block": HOLD + "async with asyncio.timeout(1):\n            await tx.execute(SQL)",
    "a task group": HOLD + "async with asyncio.TaskGroup() as group:\n            group.create_task(add(tx))",
    "something made before": HOLD + "coming = llm.ask(tx)\n        await coming",
    "in a branch": HOLD + "if x:\n            try:\n                await llm.ask()\n            finally: ...",
    "a closure": HOLD + "async def inner():\n            await llm.ask()\n        await inner()",
    "a closure that is handed it": HOLD + "async def inner(tx):\n            await llm.ask()\n        await inner(tx)",
    "a function further down": "async def add(db: Executor):\n    await db.execute(SQL)\n    await llm.ask()",
    "a callback": "async def save(connection: 'asyncpg.Connection[asyncpg.Record]'):\n    await llm.ask()",
    "a method": "class A:\n    async def save(self, *, tx: Connection | None):\n        await self.llm.ask()",
    "entered after it": "async def f(db):\n    async with db.transaction() as tx, llm.stream() as s:\n        ...",
    "an acquired one": "async def f():\n    async with pool.acquire() as tx:\n        await llm.ask()",
}


@pytest.mark.parametrize("code", FINE.values(), ids=FINE)
def test_what_only_waits_for_its_connection_is_fine(code: str) -> None:
    module = read_module(code)
    checks = (find_held_connections, find_nameless_connections, find_odd_givers, find_lenders)
    assert [finding for check in checks for finding in check(module)] == []


@pytest.mark.parametrize("code", BAD.values(), ids=BAD)
def test_what_waits_for_anything_else_is_found(code: str) -> None:
    assert find_held_connections(read_module(code)) != []


def test_nothing_else_is_awaited_while_a_connection_is_held() -> None:
    assert everywhere(find_held_connections) == []


def test_a_transaction_has_a_name() -> None:
    nameless = "async def f(db):\n    async with db.transaction():\n        await db.execute(SQL)"
    assert len(find_nameless_connections(read_module(nameless))) == 1
    assert everywhere(find_nameless_connections) == []


def test_a_transaction_is_entered_where_it_is_made() -> None:
    stack = "async def f(db, stack):\n    tx = await stack.enter_async_context(db.transaction())"
    later = "async def f(db):\n    coming = db.transaction()\n    async with coming as tx: ..."
    assert [len(find_odd_givers(read_module(code))) for code in (stack, later)] == [1, 1]
    assert everywhere(find_odd_givers) == []


def test_connections_come_from_the_database_only() -> None:
    ways = "async def f(db):\n    c = await db._pool.acquire()\n    d = await asyncpg.connect(URL)"
    around = "async def f(db):\n    async with db._connection() as c: ..."
    assert [len(find_other_ways_in(read_module(code))) for code in (ways, around)] == [2, 1]
    assert find_other_ways_in(read_module("try: f()\nexcept asyncpg.PostgresError: ...")) == []
    assert everywhere(find_other_ways_in) == []


def test_a_held_connection_is_lent_by_the_listed_only() -> None:
    lent = "@asynccontextmanager\nasync def locked(db):\n    async with db.transaction() as tx:\n        yield tx"
    assert len(find_lenders(read_module(lent))) == 1
    assert everywhere(find_lenders) == []


def test_the_exceptions_have_no_stale_lines() -> None:
    found = {name for module in our_modules() for name, _ in module.functions()}
    assert set(LENDERS) | RELEASE_STEP <= found
