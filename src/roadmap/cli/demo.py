"""What `roadmap demo` shows: progress while the roadmap is made, then the plan as a tree and a tutorial's opening."""

import asyncio
import time
from argparse import Namespace
from typing import Any, Self

from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.tree import Tree

from roadmap.cli.client import Client, open_client
from roadmap.events.model import TERMINAL

__all__ = ["Show", "build_and_show"]

OPENING = 900


class Show:
    """The terminal, or plain lines where there is none."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()

    @classmethod
    def for_terminal(cls) -> Self:
        return cls(Console(highlight=False, soft_wrap=True))

    def say(self, text: str) -> None:
        elapsed = time.monotonic() - self._started
        self._console.print(f"[dim]{elapsed:5.1f} s[/dim]  {text}")

    def tell(self, event: dict[str, Any], ready: int, total: int) -> None:
        """One line for each thing worth telling; of a long row of pieces, about every tenth."""
        payload = event["payload"]
        match event["type"]:
            case "run.started":
                self.say("drafting the plan")
            case "run.step":
                self.say(f"  {payload['step']} ({payload['duration_ms']} ms)")
            case "plan.ready":
                title, hours = escape(payload["title"]), payload["minutes"] / 60
                self.say(f"plan ready: [bold]{title}[/bold], {payload['concepts']} concepts, {hours:.0f} h")
            case "content.ready" if ready % max(1, total // 10) == 0 or ready == total:
                self.say(f"  {ready} of {total} pieces written")
            case "content.failed":
                self.say(f"  [red]{payload['kind']} failed: {escape(payload['message'])}[/red]")
            case kind if kind in TERMINAL:
                self.say(f"[bold]{kind.replace('.', ' ')}[/bold] {escape(payload.get('message') or '')}".rstrip())

    def plan(self, roadmap: dict[str, Any]) -> None:
        plan = roadmap["plan"]
        tree = Tree(f"[bold]{escape(plan['title'])}[/bold]  {plan['minutes'] / 60:.0f} h")
        for stage in plan["stages"]:
            branch = tree.add(f"[bold cyan]{escape(stage['title'])}[/bold cyan]")
            for module in stage["modules"]:
                twig = branch.add(escape(module["title"]))
                for concept in module["concepts"]:
                    twig.add(f"{escape(concept['title'])} [dim]{concept['minutes']} min[/dim] {_marks(concept)}")
        self._console.print(tree)

    def opening(self, title: str, markdown: str) -> None:
        text = markdown if len(markdown) <= OPENING else markdown[:OPENING].rsplit("\n", 1)[0] + "\n\n…"
        self._console.rule(escape(title))
        self._console.print(Markdown(text), soft_wrap=False)
        self._console.rule()


async def build_and_show(base_url: str, arguments: Namespace, show: Show) -> int:
    """Makes the roadmap over HTTP; 0 only when its run succeeded."""
    async with open_client(base_url) as client:
        created = await client.create({"goal": arguments.goal, "language": arguments.language})
        show.say(f"accepted: [bold]{escape(arguments.goal)}[/bold] ({created['id']})")
        try:
            async with asyncio.timeout(arguments.timeout):
                end = await _follow(client, created, show)
        except TimeoutError:
            show.say(f"not done within {arguments.timeout:g} s")
            return 1
        await _show_result(client, created["links"]["self"], show)
    return 0 if end == "run.succeeded" else 1


async def _follow(client: Client, created: dict[str, Any], show: Show) -> str:
    ready = total = 0
    end = ""
    async for event in client.follow(created["links"]["events"]):
        if event["type"] == "plan.ready":
            total = event["payload"]["concepts"] * 3
        ready += event["type"] == "content.ready"
        show.tell(event, ready, total)
        end = event["type"]
    return end


async def _show_result(client: Client, path: str, show: Show) -> None:
    roadmap = await client.get(path)
    if roadmap["plan"] is None:
        return
    show.plan(roadmap)
    concept = roadmap["plan"]["stages"][0]["modules"][0]["concepts"][0]
    tutorial = await client.get(f"{path}/concepts/{concept['id']}/tutorial")
    if tutorial["body"]:
        show.opening(concept["title"], tutorial["body"]["markdown"])
    log = await _count_log(client, f"{path}/log")
    show.say(f"{roadmap['content']['ready']} pieces, {log} entries in the execution log")


async def _count_log(client: Client, path: str) -> int:
    """The log trails the run by a moment: asked until it has grown to its end, for two seconds at most."""
    count = -1
    for _ in range(10):
        before, count = count, 0
        page = await client.get(f"{path}?limit=100")
        count += len(page["data"])
        while page["has_more"]:
            page = await client.get(f"{path}?limit=100&after={page['next_cursor']}")
            count += len(page["data"])
        if count == before:
            break
        await asyncio.sleep(0.2)
    return count


def _marks(concept: dict[str, Any]) -> str:
    signs = {"ready": "[green]✓[/green]", "failed": "[red]✗[/red]"}
    return "".join(signs.get(piece["status"], "·") for piece in concept["content"].values())
