"""Prompts are Markdown files beside the code that asks; what people or models wrote goes in as delimited JSON."""

from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from roadmap.llm.model import Prompt

__all__ = ["load_prompt"]


def load_prompt(package: str, purpose: str, variables: dict[str, Any], *, max_tokens: int = 8_000) -> Prompt:
    """The prompt `<package>/prompts/<purpose>.md` with its variables as one JSON object between `<input>` tags.

    The block is data: `<` is escaped in it, so that no goal can close the tag and speak as instructions.
    """
    block = orjson.dumps({"task": purpose, **variables}).decode().replace("<", "\\u003c")
    return Prompt(
        purpose=purpose, system=_read(package, purpose), user=f"<input>{block}</input>", max_tokens=max_tokens
    )


@cache
def _read(package: str, purpose: str) -> str:
    return files(package).joinpath("prompts", f"{purpose}.md").read_text(encoding="utf-8")
