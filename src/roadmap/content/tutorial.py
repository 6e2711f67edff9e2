"""The tutorial of a concept: Markdown, written in one plain-text call."""

from typing import Any

from roadmap.content.model import Assignment
from roadmap.errors import Unusable
from roadmap.llm.ask import Llm
from roadmap.llm.prompts import load_prompt

__all__ = ["write_tutorial"]

# Chinese says in 200 characters what English says in 600.
FEWEST_CHARACTERS = 200
MOST_CHARACTERS = 60_000


async def write_tutorial(llm: Llm, assignment: Assignment) -> dict[str, Any]:
    """The tutorial's body. Raises Unusable when the model writes too little, too much or nothing."""
    prompt = load_prompt(__package__, "tutorial", assignment.variables(), max_tokens=6_000)
    markdown = await llm.write(prompt)
    if not FEWEST_CHARACTERS <= len(markdown) <= MOST_CHARACTERS:
        raise Unusable(
            "tutorial_length",
            f"the model wrote {len(markdown)} characters; a tutorial has {FEWEST_CHARACTERS} to {MOST_CHARACTERS}",
        )
    return {"markdown": markdown}
