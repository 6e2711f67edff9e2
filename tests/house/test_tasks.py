"""A task that nobody awaits swallows its fault and outlives what it works with: each has an owner."""

import ast
from collections.abc import Iterator

import pytest
from project_code import Function, Module, dotted, everywhere, our_modules, read_module

# Who may make a task outside a TaskGroup, and why nothing is left behind.
OWNERS = {
    "roadmap.embedded.servers.local_servers": "both ends are awaited; each ends its process by itself, or by force",
    "roadmap.embedded.supervisor.Supervisor": "keepers outlive the failure of a neighbour; __aexit__ awaits them all",
    "roadmap.embedded.supervisor._before": "a race of two waits, both awaited before it returns",
    "roadmap.execution_log.jobs.open_committer": "awaited on close; its faults go to the jobs that wait for it",
    "roadmap.execution_log.recorder.open_recorder": "ends after the last flush, which a TaskGroup's cancel would cut",
    "roadmap.figures.recording.open_figures": "awaited on close, before the last flush",
    "roadmap.llm.ledger.settle_on_the_way_out": "one bounded statement; if it is lost, the calls count at their most",
    "roadmap.processes.serving._begin": "roles end in order when one of them fails; _serve_together awaits them all",
    "roadmap.queue.execution.Execution.run_job": "one bounded word to Redis; if it is lost, the lease says the same",
    "roadmap.queue.worker.Worker": "arq's own main loop wants plain tasks; close() awaits them",
    "roadmap.runs.draft": "one bounded statement on the way out; if it is lost, the lease says the same",
    "roadmap.runs.write": "one bounded statement on the way out; if it is lost, the lease says the same",
    "roadmap.web.pages.live.Live": "of the TaskGroup of open_live, which awaits them",
    "roadmap.signals.until_signal": "a signal has to cancel the work and not the process; awaited there",
}

# Each begins something that goes on when whoever called it is gone.
MAKERS = {"create_task", "ensure_future", "run_coroutine_threadsafe", "shield", "as_completed"}
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def find_loose_tasks(module: Module) -> list[str]:
    return [
        module.at(node, f"{name} makes a task that no TaskGroup holds")
        for name, node in loose_tasks(module)
        if not _is_listed(name, OWNERS)
    ]


def loose_tasks(module: Module) -> Iterator[tuple[str, ast.AST]]:
    yield from _loose_in(module.tree, module.name, set())


def _loose_in(scope: ast.AST, name: str, outer: set[str]) -> Iterator[tuple[str, ast.AST]]:
    """In a function and those inside it, which know its groups."""
    nodes = list(_own(scope))
    groups = outer | _parameters(scope) | _opened(nodes)
    for node in nodes:
        if isinstance(node, DEFINITIONS):
            yield from _loose_in(node, f"{name}.{node.name}", groups)
        elif _makes_task(node, groups):
            yield name, node


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """With what its lambdas do, without what its functions do."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, DEFINITIONS):
            yield from _own(child)


def _opened(nodes: list[ast.AST]) -> set[str]:
    return {
        dotted(item.optional_vars)
        for block in nodes
        if isinstance(block, ast.AsyncWith)
        for item in block.items
        if item.optional_vars and dotted(item.context_expr).endswith("TaskGroup")
    }


def _parameters(scope: ast.AST) -> set[str]:
    if not isinstance(scope, Function):
        return set()
    given = [*scope.args.args, *scope.args.kwonlyargs]
    return {each.arg for each in given if each.annotation and "TaskGroup" in ast.unparse(each.annotation)}


def _makes_task(node: ast.AST, groups: set[str]) -> bool:
    """Also what only names a maker: it is called by somebody else then."""
    match node:
        case ast.Attribute(value=value, attr=attr) if attr in MAKERS:
            return dotted(value) not in groups
        case ast.Name(id=name):
            return name in MAKERS
        case ast.ImportFrom(module="asyncio", names=names):
            return any(alias.name in MAKERS | {"Task"} and alias.asname for alias in names)
        case ast.Call(func=func, keywords=keywords):
            last = dotted(func).rpartition(".")[2]
            # Without it the first fault leaves the others to themselves.
            collects = any(word.arg == "return_exceptions" for word in keywords)
            return last == "Task" or (last == "gather" and not collects)
        case _:
            return False


def _is_listed(name: str, places: dict[str, str]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


FINE = {
    "a group": "async def f():\n    async with asyncio.TaskGroup() as jobs:\n        jobs.create_task(g())",
    "a function in its block": "async def f():\n    async with TaskGroup() as jobs:\n"
    "        def begin():\n            jobs.create_task(g())",
    "a group that was handed in": "def f(jobs: asyncio.TaskGroup):\n    jobs.create_task(g())",
    "a gathering to the end": "async def f():\n    await asyncio.gather(a, b, return_exceptions=True)",
    "a type": "def f(task: 'asyncio.Task[None]') -> asyncio.Task[None]: ...",
}
BAD = {
    "asyncio's": "async def f():\n    asyncio.create_task(g())",
    "kept": "async def f(self):\n    self.task = asyncio.create_task(g())",
    "a future": "async def f():\n    asyncio.ensure_future(g())",
    "the loop's": "async def f(loop):\n    loop.create_task(g())",
    "a task of its own": "async def f(loop):\n    asyncio.Task(g(), loop=loop)",
    "imported": "from asyncio import create_task\nasync def f():\n    create_task(g())",
    "under another name": "from asyncio import create_task as go\nasync def f():\n    go(g())",
    "in a lambda": "def f(loop):\n    loop.call_later(1, lambda: asyncio.create_task(g()))",
    "called by another": "def f(loop, work):\n    loop.call_later(1, asyncio.create_task, work)",
    "in a partial": "def f(work):\n    return partial(asyncio.create_task, work)",
    "for each": "def f(work):\n    return list(map(asyncio.create_task, work))",
    "in a list": "async def f():\n    return [asyncio.create_task(g()) for _ in range(3)]",
    "in a method": "class A:\n    async def f(self):\n        asyncio.create_task(g())",
    "in a function's function": "def f():\n    async def g():\n        asyncio.create_task(h())\n    return g",
    "another's group": "async def f():\n    async with TaskGroup() as group: ...\n"
    "async def g(group):\n    group.create_task(h())",
    "from a thread": "def f(loop):\n    asyncio.run_coroutine_threadsafe(g(), loop)",
    "shielded": "async def f():\n    await asyncio.shield(g())",
    "gathered": "async def f():\n    await asyncio.gather(a(), b())",
    "as they come": "async def f():\n    for done in asyncio.as_completed([a(), b()]):\n        await done",
}


@pytest.mark.parametrize("code", FINE.values(), ids=FINE)
def test_a_task_with_an_owner_is_fine(code: str) -> None:
    assert find_loose_tasks(read_module(code)) == []


@pytest.mark.parametrize("code", BAD.values(), ids=BAD)
def test_a_loose_task_is_found(code: str) -> None:
    assert find_loose_tasks(read_module(code)) != []


def test_every_task_has_an_owner() -> None:
    assert everywhere(find_loose_tasks) == []


def test_the_list_of_owners_has_no_stale_lines() -> None:
    found = {name for module in our_modules() for name, _ in loose_tasks(module)}
    assert [place for place in OWNERS if not any(_is_listed(name, {place: ""}) for name in found)] == []
