"""Functions, classes and properties that nobody in the project calls. (`make dead-code` finds variables, imports.)"""

from pathlib import Path

from project_code import FOLDERS, ROOT
from vulture import Vulture

# Called by a library, by this name.
CALLED_FROM_OUTSIDE = {
    "capture_signals": "uvicorn, before it serves",
    "main": "the console script",
    "handle_sig_wait_for_completion": "arq, at a signal",
    "record_health": "arq, in each round",
    "render": "starlette, for a response's body",
    "settings_customise_sources": "pydantic-settings",
}
DECORATORS = ["@field_validator", "@model_validator", "@field_serializer", "@computed_field"]
KINDS = {"function", "method", "class", "property"}


def unused(*paths: Path) -> list[str]:
    vulture = Vulture(ignore_names=list(CALLED_FROM_OUTSIDE), ignore_decorators=DECORATORS)
    vulture.scavenge(list(map(str, paths)))
    found = [item for item in vulture.get_unused_code() if item.typ in KINDS]
    return [f"{item.filename}:{item.first_lineno}: {item.typ} {item.name}" for item in found]


def test_every_function_has_a_caller() -> None:
    assert unused(*(ROOT / folder for folder in FOLDERS)) == []


def test_a_function_without_a_caller_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text("def used(): ...\ndef lost(): ...\nused()\n")
    assert unused(tmp_path) == [f"{tmp_path}/example.py:2: function lost"]
