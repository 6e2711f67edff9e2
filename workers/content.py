"""The content pool: drafts plans and writes concepts. Also runs as stock `arq workers.content.WorkerSettings`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from arq.worker import func

from roadmap.content.links import open_links
from roadmap.processes.worker import Work, stock
from roadmap.provider import open_model
from roadmap.queue.observer import Outcome
from roadmap.runs import draft as drafts
from roadmap.runs import policy, write
from roadmap.runs.leases import open_leases
from roadmap.runs.sweeper import open_sweeper
from roadmap.runs.tools import Tools
from roadmap.runtime import Process, Runtime


async def draft(ctx: dict[str, Any], run_id: str) -> Outcome:
    return await drafts.draft(ctx["tools"], UUID(run_id))


async def write_concept(ctx: dict[str, Any], run_id: str, concept_id: str) -> Outcome:
    return await write.write_concept(ctx["tools"], UUID(run_id), UUID(concept_id))


@asynccontextmanager
async def open_tools(runtime: Runtime) -> AsyncIterator[dict[str, Any]]:
    settings, name = runtime.settings, runtime.name_as(Process.CONTENT)
    async with (
        open_model(settings, runtime.queue, runtime.metrics.model) as provider,
        open_links(on=settings.checks_links) as links,
        open_leases(runtime.db, runtime.queue, name, settings.lease) as leases,
        open_sweeper(runtime.db, runtime.queue, settings.lease),
    ):
        tools = Tools(
            runtime.db, runtime.queue, provider, runtime.recorder, leases,
            links=links, learner_daily_micros=settings.learner_daily_micros, redactor=runtime.redactor,
        )  # fmt: skip
        yield {"runtime": runtime, "tools": tools, "throttle": provider.gate}


# The jobs' own time-outs come first: arq's is final.
FUNCTIONS = [func(draft, timeout=policy.TIMEOUT + 60), func(write_concept, timeout=policy.TIMEOUT + 60)]
WORK = Work(Process.CONTENT, FUNCTIONS, open_tools)
WorkerSettings = stock(WORK)
