"""docs/reliability.md speaks of tests that exist, and of every fault."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_of_faults_is_what_the_tests_say() -> None:
    from scripts.faults_table import PAGE, written

    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page, "run python scripts/faults_table.py"
    assert "| none |" not in page


def test_every_test_that_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 10
    assert [(path, test) for path, test in named if not (ROOT / path).is_file()] == []
    assert [(path, test) for path, test in named if test and test not in functions_of(ROOT / path)] == []


def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
