"""`roadmap queues`: how they stand, and whether their workers take jobs."""

from argparse import Namespace

from roadmap.audit.model import COMMAND_LINE
from roadmap.cli.dead_jobs import run
from roadmap.cli.rows import print_rows
from roadmap.database import Database
from roadmap.heartbeat import Process
from roadmap.monitor import actions
from roadmap.monitor.looks import Looks
from roadmap.monitor.service.queues import read_queues
from roadmap.monitor.showing import show
from roadmap.queue.client import Queue

__all__ = ["list_all", "pause", "resume"]

COLUMNS = (
    "name", "level", "depth", "running", "open_work", "oldest_seconds", "workers", "hibernating", "paused_at",
    "paused_by", "reasons",
)  # fmt: skip


def list_all(arguments: Namespace) -> int:
    async def work(db: Database, queue: Queue) -> int:
        queues = show((await read_queues(db, queue, Looks())).data)
        if not arguments.json:
            queues = [{**one, "reasons": "; ".join(one["reasons"]) or None} for one in queues]
        print_rows(queues, COLUMNS, as_json=arguments.json)
        return 0

    return run(work)


def pause(arguments: Namespace) -> int:
    async def work(db: Database, _queue: Queue) -> int:
        changed = await actions.pause_queue(db, Process(arguments.name), COMMAND_LINE)
        print(
            f"{arguments.name} is paused: its workers take no job any more, within five seconds"
            if changed
            else f"{arguments.name} was paused already"
        )
        return 0

    return run(work)


def resume(arguments: Namespace) -> int:
    async def work(db: Database, _queue: Queue) -> int:
        changed = await actions.resume_queue(db, Process(arguments.name), COMMAND_LINE)
        print(f"{arguments.name} goes on, within five seconds" if changed else f"{arguments.name} was not paused")
        return 0

    return run(work)
