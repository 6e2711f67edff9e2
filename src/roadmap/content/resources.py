"""The resources of a concept: well-known places to learn it. An address is unverified until somebody has fetched it."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from roadmap.content.model import Assignment, Resource, ResourcesAnswer
from roadmap.llm.ask import Llm
from roadmap.llm.prompts import load_prompt

__all__ = ["find_resources"]


async def find_resources(llm: Llm, assignment: Assignment) -> dict[str, Any]:
    """The resources' body. Raises Unusable when the model cannot name any with a proper https address."""
    prompt = load_prompt(__package__, "resources", assignment.variables(), max_tokens=2_000)
    answer = await llm.ask(prompt, ResourcesAnswer, check_resources)
    return {"resources": [{**resource.model_dump(mode="json"), "check": "unverified"} for resource in answer.resources]}


def check_resources(answer: ResourcesAnswer) -> Sequence[str]:
    """What is wrong with the addresses, for the model to mend."""
    wrong = [f"“{resource.url}” is no https address" for resource in answer.resources if not _is_web_address(resource)]
    if len({resource.url for resource in answer.resources}) < len(answer.resources):
        wrong.append("an address is named twice")
    return wrong


def _is_web_address(resource: Resource) -> bool:
    try:
        parts = urlsplit(resource.url)
        host, _port = parts.hostname or "", parts.port  # a port that is no number raises as well
    except ValueError:
        return False
    plain = resource.url.isascii() and not any(c.isspace() for c in resource.url) and "@" not in parts.netloc
    return parts.scheme == "https" and "." in host and plain
