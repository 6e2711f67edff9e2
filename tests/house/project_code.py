"""The project's code as syntax trees, for tests that read it."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src/roadmap", "workers", "scripts")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    path: str
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """As it is imported: `roadmap.queue.client`."""
        parts = Path(self.path).with_suffix("").parts
        return ".".join(part for part in parts if part not in {"src", "__init__"})

    def at(self, node: ast.AST, words: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {words}"

    def functions(self) -> Iterator[tuple[str, Function]]:
        """Each function with its qualified name: `roadmap.queue.client.Queue.enqueue`."""
        yield from _functions(self.tree, self.name)


Check = Callable[[Module], list[str]]


@cache
def our_modules() -> tuple[Module, ...]:
    paths = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return tuple(read_module(path.read_text(), str(path.relative_to(ROOT))) for path in paths)


def read_module(text: str, path: str = "src/roadmap/example.py") -> Module:
    return Module(path, text, ast.parse(text))


def everywhere(check: Check) -> list[str]:
    return [finding for module in our_modules() for finding in check(module)]


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """What is inside a function, but not inside a function or class of its own."""
    for child in ast.iter_child_nodes(function):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from own_nodes(child)


def dotted(node: ast.AST) -> str:
    """`asyncio.create_task` for that expression; a call or a subscript in it is left out."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{dotted(value)}.{name}".lstrip(".")
        case ast.Call(func=inner) | ast.Subscript(value=inner):
            return dotted(inner)
        case _:
            return ""


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}.{child.name}", child
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from _functions(child, f"{prefix}.{child.name}" if named else prefix)
