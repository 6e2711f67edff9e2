"""The resources of a concept: well-known places to learn it, each asked for before it is recommended."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from roadmap.content.links import CheckLinks
from roadmap.content.model import (
    Assignment,
    CheckedResource,
    FoundResources,
    LinkCheck,
    RejectedLink,
    Resource,
    ResourcesAnswer,
)
from roadmap.errors import Outage, Unusable
from roadmap.llm.ask import Llm
from roadmap.llm.prompts import load_prompt

__all__ = ["check_resources", "fill_gaps", "find_resources"]

MOST_RESOURCES = 8
# Said to the model of what it named.
BAD = {
    LinkCheck.DEAD: "there is no such page",
    LinkCheck.REFUSED: "it does not lead, all the way by https, to a public web site",
}


@dataclass(frozen=True, slots=True)
class _Found:
    """What can be recommended, and what was named and cannot."""

    usable: tuple[CheckedResource, ...] = ()
    rejected: tuple[RejectedLink, ...] = ()

    def joined(self, resource: CheckedResource) -> "_Found":
        if resource.url in {*(known.url for known in self.usable), *(known.url for known in self.rejected)}:
            return self
        if resource.check in BAD:
            return replace(self, rejected=(*self.rejected, RejectedLink(url=resource.url, check=resource.check)))
        return replace(self, usable=(*self.usable, resource)[:MOST_RESOURCES])


async def find_resources(llm: Llm, links: CheckLinks, assignment: Assignment) -> dict[str, Any]:
    """The resources' body. What the model names in vain is told to it once, and then left out.

    Raises Unusable when the model cannot name any page that can be recommended.
    """
    found = await _ask(llm, links, assignment, _Found())
    if found.rejected:
        found = await _ask_again(llm, links, assignment, found)
    if not found.usable:
        raise Unusable("no_resources", "the model named no page that is there")
    body = FoundResources(resources=list(found.usable), rejected=list(found.rejected))
    return body.model_dump(mode="json")


def check_resources(answer: ResourcesAnswer) -> Sequence[str]:
    """What is wrong with the addresses, for the model to mend."""
    wrong = [f"“{resource.url}” is no https address" for resource in answer.resources if not _is_web_address(resource)]
    if len({resource.url for resource in answer.resources}) < len(answer.resources):
        wrong.append("an address is named twice")
    return wrong


def fill_gaps(body: dict[str, Any]) -> dict[str, Any]:
    """A stored body as it is written today: those from before links were checked say less."""
    resources = [{"checked_at": None, **resource} for resource in body["resources"]]
    return {"rejected": [], **body, "resources": resources}


async def _ask_again(llm: Llm, links: CheckLinks, assignment: Assignment, found: _Found) -> _Found:
    """What was found already is good without this call, however it ends. Raises what `_ask` raises when there is
    nothing."""
    try:
        return await _ask(llm, links, assignment, found)
    except (Unusable, Outage):
        if not found.usable:
            raise
        return found


async def _ask(llm: Llm, links: CheckLinks, assignment: Assignment, found: _Found) -> _Found:
    """What was found before, and what this answer adds to it."""
    variables = {**assignment.variables(), **_tell(found)}
    prompt = load_prompt(__package__, "resources", variables, max_tokens=2_000)
    answer = await llm.ask(prompt, ResourcesAnswer, check_resources)
    verdicts = await links([resource.url for resource in answer.resources])
    for resource in answer.resources:
        verdict = verdicts[resource.url]
        checked = CheckedResource(**resource.model_dump(), check=verdict.check, checked_at=verdict.checked_at)
        found = found.joined(checked)
    return found


def _tell(found: _Found) -> dict[str, Any]:
    """Nothing the first time."""
    if not found.rejected:
        return {}
    return {
        "kept": [resource.url for resource in found.usable],
        "rejected": [{"url": link.url, "why": BAD[link.check]} for link in found.rejected],
    }


def _is_web_address(resource: Resource) -> bool:
    try:
        parts = urlsplit(resource.url)
        host, _port = parts.hostname or "", parts.port  # a port that is no number raises as well
    except ValueError:
        return False
    plain = resource.url.isascii() and not any(c.isspace() for c in resource.url) and "@" not in parts.netloc
    return parts.scheme == "https" and "." in host and plain
