"""Small enough to read: files, functions, parameters, indentation."""

import ast
from collections.abc import Iterator

from project_code import Function, Module, everywhere, own_nodes, read_module

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
MOST_PARAMETERS = 5
DEEPEST = 3

TOOLS = {"self", "cls", "db", "queue", "llm", "recorder", "redis_pool", "tools", "tx"}
# A stream that reconnects: for ever, unless it fails, while it is open, for each message.
DEEP = {"roadmap.queue.client.Queue.listen", "roadmap.cli.client.Client.follow"}
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)


def find_long_files(module: Module) -> list[str]:
    count = len(module.text.splitlines())
    return [f"{module.path}: {count} lines"] if count > LONGEST_FILE else []


def find_long_functions(module: Module) -> list[str]:
    return [
        module.at(function, f"{name} has {length(function)} lines")
        for name, function in module.functions()
        if length(function) > LONGEST_FUNCTION
    ]


def find_many_parameters(module: Module) -> list[str]:
    return [
        module.at(function, f"{name} has {len(parameters(function))} parameters beside the tools")
        for name, function in module.functions()
        if len(parameters(function)) > MOST_PARAMETERS
    ]


def find_deep_nesting(module: Module) -> list[str]:
    return [
        module.at(function, f"{name} is nested {depth(function)} deep")
        for name, function in module.functions()
        if depth(function) > DEEPEST and name not in DEEP
    ]


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters(function: Function) -> list[str]:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [argument.arg for argument in named if argument.arg not in TOOLS]


def depth(node: ast.AST) -> int:
    """Blocks inside blocks. An `elif` is no deeper than its `if`."""
    return max((_step(node, child) + depth(child) for child in _children(node)), default=0)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return (child for child in ast.iter_child_nodes(node) if not isinstance(child, inner))


def _step(node: ast.AST, child: ast.AST) -> int:
    continues = isinstance(node, ast.If) and isinstance(child, ast.If) and child in node.orelse
    return int(isinstance(child, BLOCKS) and not continues)


def test_no_file_is_longer_than_400_lines() -> None:
    assert find_long_files(read_module("x = 1\n" * 401)) == ["src/roadmap/example.py: 401 lines"]
    assert everywhere(find_long_files) == []


def test_no_function_is_longer_than_40_lines() -> None:
    assert len(find_long_functions(read_module("def f():\n" + "    x = 1\n" * 40))) == 1
    assert everywhere(find_long_functions) == []


def test_no_function_has_more_than_five_parameters_beside_the_tools() -> None:
    assert find_many_parameters(read_module("def f(db, queue, a, b, c, *, d, e): ...")) == []
    assert len(find_many_parameters(read_module("def f(db, queue, a, b, c, *, d, e, g): ..."))) == 1
    assert everywhere(find_many_parameters) == []


def test_no_block_is_deeper_than_its_third_level() -> None:
    deep = "def f():\n if a:\n  for b in c:\n   while d:\n    if e:\n     x = 1\n"
    flat = "def f():\n if a: ...\n elif b: ...\n elif c: ...\n elif d: ...\n"
    assert len(find_deep_nesting(read_module(deep))) == 1
    assert find_deep_nesting(read_module(flat)) == []
    assert everywhere(find_deep_nesting) == []


def test_no_function_uses_a_global_variable() -> None:
    def find_globals(module: Module) -> list[str]:
        return [
            module.at(node, f"{name} says {type(node).__name__.lower()}")
            for name, function in module.functions()
            for node in own_nodes(function)
            if isinstance(node, ast.Global)
        ]

    assert len(find_globals(read_module("def f():\n    global x\n    x = 1"))) == 1
    assert everywhere(find_globals) == []
