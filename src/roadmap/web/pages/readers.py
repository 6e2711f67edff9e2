"""What each view of the service reads: queues, workers, functions, model, system; the overview of it all."""

from typing import Any

from roadmap.errors import NotFound
from roadmap.heartbeat import Process
from roadmap.monitor.model import Overview
from roadmap.monitor.service.failures import list_failures
from roadmap.monitor.service.overview import read_overview
from roadmap.monitor.service.queues import QUEUES, read_functions, read_jobs, read_queues, read_workers
from roadmap.monitor.service.system import read_model, read_system
from roadmap.web.pages.frame import Ask, Seen, Tools

__all__ = ["functions", "model", "overview", "queue", "queues", "system", "workers"]

OVERVIEW_GROUPS = 5


async def overview(tools: Tools, _ask: Ask) -> Seen:
    seen = await read_overview(tools.db, tools.queue, tools.looks)
    # Looked at more often than the rest: a failure shows within a second.
    failures = await list_failures(tools.db, tools.looks)
    values = {"overview": seen, "glance": _glance(seen), "failures": failures}
    return Seen({**values, "groups": failures.data[:OVERVIEW_GROUPS]})


def _glance(seen: Overview) -> dict[str, Any]:
    done = sum(point.succeeded for point in seen.minutes)
    failed = sum(point.failed for point in seen.minutes)
    depths = [queue.depth for queue in seen.queues]
    waits = [queue.oldest_seconds for queue in seen.queues if queue.oldest_seconds is not None]
    counted = [f"{one.count} {one.status}" for one in seen.open_runs if one.count]
    return {
        "words": seen.reasons[0] if seen.reasons else "work is done in time",
        "depth": None if None in depths else sum(depth or 0 for depth in depths),
        "oldest": max(waits, default=None),
        "open_runs": sum(one.count for one in seen.open_runs),
        "open_words": ", ".join(counted) or "nobody waits",
        "hour_done": done + failed,
        "failure_rate": failed / (done + failed) if done + failed else None,
    }


async def queues(tools: Tools, _ask: Ask) -> Seen:
    return Seen({"queues": (await read_queues(tools.db, tools.queue, tools.looks)).data})


async def queue(tools: Tools, ask: Ask) -> Seen:
    """Raises NotFound for a name that is no queue's."""
    name = ask.ids["queue"]
    if name not in QUEUES:
        raise NotFound("no such queue")
    line = await read_jobs(tools.queue, tools.looks, Process(name))
    return Seen({"line": line}, f"Queue {name}", (("Queues", "/monitor/queues"),))


async def workers(tools: Tools, _ask: Ask) -> Seen:
    found = (await read_workers(tools.db, tools.looks)).data
    held = [job for worker in found for job in worker.jobs]
    held.sort(key=lambda job: -(job.elapsed_seconds or 0))
    return Seen({"workers": found, "jobs": held[:200]})


async def functions(tools: Tools, _ask: Ask) -> Seen:
    return Seen({"functions": (await read_functions(tools.db, tools.looks)).data})


async def model(tools: Tools, _ask: Ask) -> Seen:
    seen = await read_model(tools.db, tools.queue, tools.looks)
    today = [usage for usage in seen.days if usage.day == seen.at.date()]
    return Seen({"model": seen, "today": _sums(today), "week": _sums(list(seen.days))})


def _sums(usages: list[Any]) -> dict[str, int]:
    return {
        "cost": sum(usage.cost_micros for usage in usages),
        "calls": sum(usage.calls for usage in usages),
        "input": sum(usage.input_tokens for usage in usages),
        "output": sum(usage.output_tokens for usage in usages),
    }


async def system(tools: Tools, _ask: Ask) -> Seen:
    return Seen({"system": await read_system(tools.db, tools.queue, tools.looks)})
