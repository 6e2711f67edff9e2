"""A queue that is paused: its worker keeps what it holds and takes nothing."""

from redis_server import RedisServer
from waiting import eventually
from working import Journal, working

from roadmap.queue.client import Queue
from roadmap.queue.model import Job
from roadmap.queue.worker import Worker


async def turn(worker: Worker) -> None:
    """Lets the worker's loop come round."""
    before = worker.progress
    worker.pause(True)
    await eventually(lambda: worker.progress > before, "the loop turns")


async def test_a_paused_worker_takes_nothing_until_it_is_resumed(server: RedisServer, queue: Queue) -> None:
    journal = Journal()
    async with working(server.url, journal.functions()) as worker:
        await queue.offer("content", [Job("hold", "held", ("held",))])
        await eventually(lambda: journal.ran == ["held"], "it holds a job")
        worker.pause(True)
        await queue.offer("content", [Job("write", f"w{number}", (f"w{number}",)) for number in range(20)])

        async def parked() -> bool:
            return int((await server.client.info("clients"))["blocked_clients"]) == 0

        await eventually(parked, "it was woken, and waits for nothing on Redis any more")
        await turn(worker)
        await turn(worker)
        journal.gate.set()
        await eventually(lambda: journal.ended == ["held"], "what it held goes on")
        await turn(worker)
        line = await queue.line("content")
        assert line is not None
        assert (line.depth, line.running, journal.ran) == (20, 0, ["held"])
        worker.pause(False)
        await eventually(lambda: len(journal.ended) == 21, "all the others run at once", within=10)


async def test_a_worker_that_starts_paused_is_ready_and_stops_at_once(server: RedisServer, queue: Queue) -> None:
    await queue.offer("content", [Job("write", "w", ("w",))])
    journal = Journal()
    async with working(server.url, journal.functions(), wait=False) as worker:
        worker.pause(True)
        await eventually(lambda: worker.connected, "it tells that it is ready")
        await turn(worker)
        assert journal.ran == []
    assert await queue.depth("content") == 1


async def test_a_paused_worker_notices_that_redis_was_away(server: RedisServer, queue: Queue) -> None:
    journal = Journal()
    async with working(server.url, journal.functions()) as worker:
        worker.pause(True)
        await server.kill()
        worker.pause(True)
        await eventually(lambda: not worker.connected, "it knows that Redis is away")
        await server.start()
        await eventually(lambda: worker.connected, "it knows that Redis is back")
        await queue.offer("content", [Job("write", "w", ("w",))])
        worker.pause(False)
        await eventually(lambda: journal.ended == ["w"], "and works")
