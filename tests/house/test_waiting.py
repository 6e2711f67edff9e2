"""What asyncio forgives too easily: loose tasks, things made on no loop, connections held, everything caught."""

import ast
from collections.abc import Iterable, Iterator

from project_code import Module, dotted, everywhere, our_modules, own_nodes, read_module

# Who may make a task outside a TaskGroup: each awaits it, on every way out of its block.
TASK_OWNERS = {
    "roadmap.embedded.supervisor.Supervisor": "keepers outlive the failure of a neighbour; __aexit__ awaits them all",
    "roadmap.embedded.supervisor._before": "a race of two waits, both awaited before it returns",
    "roadmap.execution_log.jobs.open_committer": "awaited on close; its faults go to the jobs that wait for it",
    "roadmap.execution_log.recorder.open_recorder": "ends after the last flush, which a TaskGroup's cancel would cut",
    "roadmap.signals.until_signal": "a signal has to cancel the work and not the process; awaited there",
    "roadmap.queue.worker.Worker": "arq's own main loop wants plain tasks; close() awaits them",
}

# Where a blind catch may swallow: it is written down there, and the process goes on.
BLIND_BORDERS = {
    "roadmap.execution_log.jobs.Committer.run": "handed to the jobs that wait for the batch",
    "roadmap.execution_log.model._text": "a stranger's __str__",
    "roadmap.execution_log.outbox.Outbox.write_rest": "the recorder's border, on its last way out",
    "roadmap.execution_log.recorder.Recorder": "the recorder's border: a note must not break what it tells of",
    "roadmap.queue.border.harmless.guarded": "the job border: a hook must not end the worker",
    "roadmap.queue.execution.Execution": "the job border",
    "roadmap.runs.draft._draft": "the job border, with the run at hand that has to be told",
    "roadmap.runs.write._hold_and_write": "the job border, for what goes wrong with all pieces of the concept",
    "roadmap.runs.write._try_piece": "the job border, one piece of it: the concept's others go on (promise P4)",
}

ASYNC_THINGS = {
    "ArqRedis", "AsyncClient", "BoundedSemaphore", "Condition", "Event", "Future", "Lock", "PriorityQueue", "Queue",
    "Redis", "Semaphore", "TaskGroup", "create_pool", "create_task", "ensure_future", "from_url", "get_event_loop",
    "new_event_loop",
}  # fmt: skip
# Of which these exist for threads too, where they may be made at any time.
FOR_THREADS = ("threading.", "multiprocessing.", "queue.")
CONNECTIONS = {"transaction", "_connection", "acquire"}


def find_early_async_things(module: Module) -> list[str]:
    """Things of a loop that are made when a module is imported, or a function defined."""
    return [
        module.at(call, f"{dotted(call.func)}() is made at import")
        for call in _calls_at_import(module.tree)
        if dotted(call.func).rpartition(".")[2] in ASYNC_THINGS and not dotted(call.func).startswith(FOR_THREADS)
    ]


def find_module_state(module: Module) -> list[str]:
    """Empty containers at module level: there to be filled by somebody, for everybody."""
    return [
        module.at(node, "a container that waits to be filled")
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and _is_empty_container(node.value)
        if "__all__" not in ast.unparse(node)
    ]


def find_loose_tasks(module: Module) -> list[str]:
    return [
        module.at(call, f"{name} makes a task that no TaskGroup holds")
        for name, call in loose_tasks(module)
        if not _is_listed(name, TASK_OWNERS)
    ]


def loose_tasks(module: Module) -> Iterator[tuple[str, ast.Call]]:
    groups = _task_groups(module.tree)
    for name, function in module.functions():
        for call in own_nodes(function):
            if isinstance(call, ast.Call) and _makes_task(call, groups):
                yield name, call


def find_held_connections(module: Module) -> list[str]:
    """Awaits, inside a block that holds a connection, of anything but that connection (promise P6)."""
    return [
        module.at(waiting, f"waits for {ast.unparse(waiting)[:60]!r} with a connection in hand")
        for block in ast.walk(module.tree)
        if isinstance(block, ast.AsyncWith) and (handles := _handles(block))
        for statement in block.body
        for waiting in [statement, *own_nodes(statement)]
        if _waits(waiting) and not handles & _names(waiting)
    ]


def find_blind_excepts(module: Module) -> list[str]:
    return [
        module.at(catch, f"{name} catches everything")
        for name, catch in blind_excepts(module)
        if not _is_listed(name, BLIND_BORDERS)
    ]


def blind_excepts(module: Module) -> Iterator[tuple[str, ast.AST]]:
    """Those that swallow; one that tidies up and raises again is fine."""
    for name, function in module.functions():
        for node in own_nodes(function):
            if isinstance(node, ast.ExceptHandler) and not _raises_again(node) and _is_everything(node.type):
                yield name, node
            if isinstance(node, ast.Call) and dotted(node.func).endswith("suppress"):
                yield from ((name, kind) for kind in node.args if _is_everything(kind))


def _calls_at_import(node: ast.AST) -> Iterator[ast.Call]:
    """A function's defaults and decorators run at import, its body does not."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        children: list[ast.AST] = [*node.decorator_list, node.args]
    else:
        children = [] if isinstance(node, ast.Lambda) else list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Call):
        yield node
    for child in children:
        yield from _calls_at_import(child)


def _is_empty_container(value: ast.expr) -> bool:
    match value:
        case ast.Dict(keys=[]) | ast.List(elts=[]):
            return True
        case ast.Call(func=ast.Name(id="dict" | "list" | "set" | "defaultdict" | "deque" | "WeakValueDictionary")):
            return not value.args or not isinstance(value.args[0], ast.GeneratorExp | ast.Dict | ast.Name)
        case _:
            return False


def _task_groups(tree: ast.AST) -> set[str]:
    return {
        dotted(item.optional_vars)
        for block in ast.walk(tree)
        if isinstance(block, ast.AsyncWith)
        for item in block.items
        if item.optional_vars and dotted(item.context_expr).endswith("TaskGroup")
    }


def _makes_task(call: ast.Call, groups: set[str]) -> bool:
    receiver, _, name = dotted(call.func).rpartition(".")
    return name in {"create_task", "ensure_future"} and receiver not in groups


def _handles(block: ast.AsyncWith) -> set[str]:
    """The names under which the block knows its connection; empty when it holds none."""
    held = [item for item in block.items if dotted(item.context_expr).rpartition(".")[2] in CONNECTIONS]
    if not any(isinstance(item.context_expr, ast.Call) for item in held):
        return set()
    named = {dotted(item.optional_vars) for item in held if item.optional_vars}
    return named or {dotted(item.context_expr).split(".")[0] for item in held}


def _waits(node: ast.AST) -> bool:
    return isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)


def _names(node: ast.AST) -> set[str]:
    """The names in what is awaited; of a block only its head counts, as its body is looked at by itself."""
    if isinstance(node, ast.AsyncWith):
        heads: list[ast.AST] = [item.context_expr for item in node.items]
    else:
        heads = [node.iter if isinstance(node, ast.AsyncFor) else node]
    return {name.id for head in heads for name in ast.walk(head) if isinstance(name, ast.Name)}


def _is_everything(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(each is None or dotted(each) in {"Exception", "BaseException"} for each in kinds)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _is_listed(name: str, places: Iterable[str]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def test_nothing_of_a_loop_is_made_at_import() -> None:
    bad = "lock = asyncio.Lock()\nclass A:\n    ready = asyncio.Event()\ndef f(x=httpx.AsyncClient()): ..."
    fine = "def f():\n    return asyncio.Lock()\nguard = threading.Lock()"
    assert len(find_early_async_things(read_module(bad))) == 3
    assert find_early_async_things(read_module(fine)) == []
    assert everywhere(find_early_async_things) == []


def test_no_module_keeps_state() -> None:
    assert len(find_module_state(read_module("cache: dict[str, int] = {}\nseen = set()"))) == 2
    assert find_module_state(read_module("SIZES = {1: 2}\nNAMES = set(SIZES)")) == []
    assert everywhere(find_module_state) == []


def test_every_task_has_an_owner() -> None:
    bad = "async def f():\n    asyncio.create_task(g())"
    fine = "async def f():\n    async with asyncio.TaskGroup() as jobs:\n        jobs.create_task(g())"
    assert len(find_loose_tasks(read_module(bad))) == 1
    assert find_loose_tasks(read_module(fine)) == []
    assert everywhere(find_loose_tasks) == []


def test_the_list_of_task_owners_has_no_stale_lines() -> None:
    found = {name for module in our_modules() for name, _ in loose_tasks(module)}
    assert [place for place in TASK_OWNERS if not any(_is_listed(name, [place]) for name in found)] == []


def test_nothing_else_is_awaited_while_a_connection_is_held() -> None:
    bad = "async def f():\n    async with db.transaction() as tx:\n        await store.add(tx)\n        await llm.ask()"
    sleepy = "async def f():\n    async with pool.acquire() as tx:\n        async for line in response: ..."
    fine = "async def f():\n    async with db.transaction() as tx:\n        await tx.execute(SQL)\n    await llm.ask()"
    assert find_held_connections(read_module(bad)) == [
        "src/roadmap/example.py:4: waits for 'await llm.ask()' with a connection in hand"
    ]
    assert len(find_held_connections(read_module(sleepy))) == 1
    assert find_held_connections(read_module(fine)) == []
    assert everywhere(find_held_connections) == []


def test_everything_is_caught_at_the_listed_borders_only() -> None:
    bad = "def f():\n    try: g()\n    except (ValueError, Exception): ...\ndef h():\n    try: g()\n    except: ..."
    tidy = "def f():\n    try: g()\n    except BaseException:\n        close()\n        raise"
    assert len(find_blind_excepts(read_module(bad))) == 2
    assert len(find_blind_excepts(read_module("def f():\n    with suppress(Exception): ..."))) == 1
    assert find_blind_excepts(read_module(tidy)) == []
    assert find_blind_excepts(read_module("def f():\n    try: g()\n    except ValueError: ...")) == []
    assert everywhere(find_blind_excepts) == []


def test_the_list_of_borders_has_no_stale_lines() -> None:
    found = {name for module in our_modules() for name, _ in blind_excepts(module)}
    assert [place for place in BLIND_BORDERS if not any(_is_listed(name, [place]) for name in found)] == []
