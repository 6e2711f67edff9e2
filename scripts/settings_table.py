"""Writes the README's table of settings from roadmap.settings; a test compares the two."""

import re
from pathlib import Path

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from roadmap.settings import Settings

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- settings: written by scripts/settings_table.py -->", "<!-- end of settings -->"


def table() -> str:
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def written(readme: str) -> str:
    """The README with its table brought up to date."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table()}\n{END}", readme, flags=re.DOTALL)


def _row(name: str, field: FieldInfo) -> str:
    names = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else [name]
    shown = ", ".join(f"`{str(choice).upper()}`" for choice in names)
    return f"| {shown} | {_default(field.default)} | {field.description} |"


def _default(value: object) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
