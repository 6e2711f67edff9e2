"""What Python forgives too easily: things of a loop made on no loop, state in modules, everything caught."""

import ast
import asyncio
import importlib
from collections.abc import Iterable, Iterator
from functools import partial
from types import FunctionType, ModuleType

import asyncpg
import httpx
from project_code import Module, dotted, everywhere, our_modules, own_nodes, read_module
from redis.asyncio import Redis

# Where a blind catch may swallow: it is written down there, and the process goes on.
BLIND_BORDERS = {
    "roadmap.execution_log.jobs.Committer.run": "handed to the jobs that wait for the batch",
    "roadmap.execution_log.model._text": "a stranger's __str__",
    "roadmap.execution_log.outbox.Outbox.write_rest": "the recorder's border, on its last way out",
    "roadmap.execution_log.recorder.Recorder": "the recorder's border: a note must not break what it tells of",
    "roadmap.figures.recording._flush_forever": "the figures' border: to count the work must not end it",
    "roadmap.queue.border.harmless.guarded": "the job border: a hook must not end the worker",
    "roadmap.queue.execution.Execution": "the job border",
    "roadmap.runs.draft._draft": "the job border, with the run at hand that has to be told",
    "roadmap.runs.write._hold_and_write": "the job border, for what goes wrong with all pieces of the concept",
    "roadmap.web.pages.live.Live._read": "a view that cannot be shown must not end the others, nor the process",
    "roadmap.runs.write._try_piece": "the job border, one piece of it: the concept's others go on (promise P4)",
}

ASYNC_THINGS = {
    "ArqRedis", "AsyncClient", "Barrier", "BoundedSemaphore", "Condition", "Event", "Future", "LifoQueue", "Lock",
    "PriorityQueue", "Queue", "Redis", "Runner", "Semaphore", "TaskGroup", "create_pool", "create_task",
    "ensure_future", "from_url", "get_event_loop", "new_event_loop",
}  # fmt: skip
# Of which these exist for threads too, where they may be made at any time.
FOR_THREADS = ("threading.", "multiprocessing.", "queue.")
# The same as objects, for those that a function made where no name shows it.
LOOP_TYPES = (
    asyncio.AbstractEventLoop, asyncio.Barrier, asyncio.Condition, asyncio.Event, asyncio.Future, asyncio.Lock,
    asyncio.Queue, asyncio.Runner, asyncio.Semaphore, asyncio.TaskGroup, asyncpg.Pool, httpx.AsyncClient, Redis,
)  # fmt: skip
CACHES = {"cache", "lru_cache"}


def find_early_async_things(module: Module) -> list[str]:
    """Things of a loop that are made when a module is imported, or a function defined."""
    return [
        module.at(call, f"{dotted(call.func)}() is made at import")
        for call in _calls_at_import(module.tree)
        if dotted(call.func).rpartition(".")[2] in ASYNC_THINGS and not dotted(call.func).startswith(FOR_THREADS)
    ]


def find_shared_async_things(module: Module) -> list[str]:
    """Things of a loop that the first caller makes, for the callers of all other loops as well."""
    made = [
        module.at(call, f"{name} keeps what {dotted(call.func)}() made")
        for name, function in module.functions()
        if any(dotted(decorator).rpartition(".")[2] in CACHES for decorator in function.decorator_list)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and dotted(call.func).rpartition(".")[2] in ASYNC_THINGS
    ]
    return made + [module.at(node, "a global") for node in ast.walk(module.tree) if isinstance(node, ast.Global)]


def live_things(module: ModuleType) -> list[str]:
    """Things of a loop that an imported module holds: in its names, classes, defaults, closures and containers."""
    ours, seen = module.__name__.partition(".")[0], set[int]()
    return [
        f"{module.__name__}.{name} holds a {type(thing).__name__}"
        for name, value in vars(module).items()
        for thing in _held(value, ours, seen)
    ]


def _held(value: object, ours: str, seen: set[int]) -> Iterator[object]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, LOOP_TYPES):
        yield value
        return
    for part in _parts(value, ours):
        yield from _held(part, ours, seen)


def _parts(value: object, ours: str) -> list[object]:
    match value:
        case dict():
            return list(value.values())
        case list() | tuple() | set() | frozenset():
            return list(value)
        case partial():
            return [value.func, *value.args, *value.keywords.values()]
        case FunctionType() if value.__module__.startswith(ours):
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            return [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *cells]
        case type() if value.__module__.startswith(ours):
            return list(vars(value).values())
        case _ if type(value).__module__.startswith(ours):
            return list(getattr(value, "__dict__", {}).values())
        case _:
            return []


def find_module_state(module: Module) -> list[str]:
    """Empty containers at module level: there to be filled by somebody, for everybody."""
    return [
        module.at(node, "a container that waits to be filled")
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and _is_empty_container(node.value)
        if "__all__" not in ast.unparse(node)
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
        children = [node.args] if isinstance(node, ast.Lambda) else list(ast.iter_child_nodes(node))
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
    for more in (
        "@dataclass\nclass A:\n    line: asyncio.Queue = field(default=asyncio.Queue())",
        "ready = {'a': [Event()]}",
        "f = lambda x=asyncio.Lock(): x",
        "@guarded_by(asyncio.Semaphore(3))\nasync def f(): ...",
        "if True:\n    try:\n        pool = Redis.from_url(URL)\n    finally: ...",
        "class A:\n    class B:\n        slots = asyncio.Semaphore()",
        "LOCKS = [asyncio.Lock() for _ in range(3)]",
    ):
        assert len(find_early_async_things(read_module(more))) == 1, more
    later = "@dataclass\nclass A:\n    line: asyncio.Queue = field(default_factory=asyncio.Queue)"
    assert find_early_async_things(read_module(later)) == []
    assert everywhere(find_early_async_things) == []


def test_nothing_of_a_loop_is_kept_for_all_callers() -> None:
    cached = "@functools.lru_cache(maxsize=1)\ndef client():\n    return httpx.AsyncClient()"
    lazy = "_lock = None\ndef lock():\n    global _lock\n    _lock = _lock or asyncio.Lock()"
    assert [len(find_shared_async_things(read_module(code))) for code in (cached, lazy)] == [1, 1]
    assert find_shared_async_things(read_module("@cache\ndef table():\n    return read()")) == []
    assert everywhere(find_shared_async_things) == []


def test_no_imported_module_holds_a_thing_of_a_loop() -> None:
    example = ModuleType("roadmap.example")
    exec(HIDDEN, vars(example))
    assert len(live_things(example)) == 6
    modules = [
        importlib.import_module(module.name) for module in our_modules() if not module.path.startswith("scripts")
    ]
    assert [thing for module in modules for thing in live_things(module)] == []


HIDDEN = """
import asyncio, functools

def make():
    return asyncio.Lock()

lock = make()

class Holder:
    ready = make()

    def __init__(self):
        self.lock = make()

holder = Holder()

def default(x=make()): ...

def closed():
    inner = make()
    return lambda: inner

closure = closed()
table = {"a": [functools.partial(print, make())]}
"""


def test_no_module_keeps_state() -> None:
    assert len(find_module_state(read_module("cache: dict[str, int] = {}\nseen = set()"))) == 2
    assert find_module_state(read_module("SIZES = {1: 2}\nNAMES = set(SIZES)")) == []
    assert everywhere(find_module_state) == []


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
