"""F31: hundreds of event streams are cut, or never read: soon nothing of them is left, and the others go on."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from httpx_sse import aconnect_sse
from inside import open_api, serving
from stack import Child, api_client
from waiting import eventually
from whole import Whole, open_whole

from roadmap.database import Database
from roadmap.events import store
from roadmap.events.hub import CHANNEL
from roadmap.events.model import EventType, Notice, StepDone
from roadmap.ids import Prefix, parse_id

STREAMS = 500  # as many as one caller may have
ESTABLISHED, CLOSE_WAIT = "01", "08"
NO_LINGER = struct.pack("ii", 1, 0)  # closing sends a reset
# Seconds that a reader is given who takes nothing, and those that a busy machine may add.
PATIENCE, SLACK = 10, 15
# So many of them take nothing. The system keeps up to 4 MB for each, before anybody sees that they are slow.
SLOW = 40
LARGE, EVENTS = 20_000, 300

pytestmark = pytest.mark.fault("F31")


class Crowd:
    """Streams of many clients, who read the head and then nothing, and have little room for more."""

    def __init__(self) -> None:
        self._streams: list[socket.socket] = []

    async def open(self, count: int, url: str, path: str, key: str = "") -> list[socket.socket]:
        """Not all in the same moment: there is a limit to what waits for a listener."""
        opened: list[socket.socket] = []
        while len(opened) < count:
            some = min(50, count - len(opened))
            opened += await asyncio.gather(*(self._open(url, path, key) for _ in range(some)))
        return opened

    async def _open(self, url: str, path: str, key: str) -> socket.socket:
        parts, loop = urlsplit(url), asyncio.get_running_loop()
        stream = socket.socket()
        self._streams.append(stream)
        stream.setblocking(False)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await loop.sock_connect(stream, (parts.hostname, parts.port))
        login = f"Authorization: Bearer {key}\r\n" if key else ""
        request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: text/event-stream\r\n{login}\r\n"
        await loop.sock_sendall(stream, request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = await loop.sock_recv(stream, 1_024)
            assert piece, f"the connection was closed after {head!r}"
            head += piece
        assert head.startswith(b"HTTP/1.1 200 "), head
        return stream

    def close(self) -> None:
        cut(self._streams)


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    crowd = Crowd()
    yield crowd
    crowd.close()


def cut(streams: Sequence[socket.socket]) -> None:
    """By a TCP reset."""
    for stream in streams:
        if stream.fileno() >= 0:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            stream.close()


async def tell(db: Database, roadmap_id: str, count: int, size: int) -> None:
    """Events of that many characters; the hub's look at the counters finds them."""
    step = StepDone(run_id="run_1", step="x" * size, duration_ms=1)
    async with db.transaction() as tx:
        await store.append(tx, parse_id(Prefix.ROADMAP, roadmap_id), [Notice(EventType.RUN_STEP, step)] * count)


async def test_streams_that_are_cut_leave_no_task_behind(crowd: Crowd, database_url: str, redis_url: str) -> None:
    async with open_api(database_url, redis_url) as api, serving(api.state) as url:
        created = (await api.alice.post("/v1/roadmaps", json={"goal": "Learn to listen"})).json()
        path, key = created["links"]["events"], api.keys[0]
        cut(await crowd.open(1, url, path, key))  # what the first one leaves for all that follow
        await eventually(lambda: api.state.hub.count() == 0, "the first is forgotten")
        before = len(asyncio.all_tasks())
        streams = await crowd.open(100, url, path, key)
        assert api.state.hub.count() == 100
        assert len(asyncio.all_tasks()) > before + 100
        cut(streams)
        await eventually(lambda: api.state.hub.count() == 0, "the listeners are forgotten")
        await eventually(lambda: len(asyncio.all_tasks()) <= before, "the tasks are gone")


def open_files(process: Child) -> int:
    """Also sockets, and those whose client is gone."""
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


@asynccontextmanager
async def faithful(url: str, path: str) -> AsyncIterator[list[int]]:
    """Somebody who reads to the end; the numbers of the events so far."""
    seqs: list[int] = []

    async def read() -> None:
        async with api_client(url) as client, aconnect_sse(client, "GET", path) as source:
            seqs.extend([int(frame.id) async for frame in source.aiter_sse() if frame.data])

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        yield seqs


async def subscriptions(whole: Whole) -> int:
    return int((await whole.redis.pubsub_numsub(CHANNEL))[0][1])


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    async with open_whole(tmp_path, database_url, redis_url, AUTH_MODE="none", LOG_LEVEL="info") as opened:
        yield opened


async def warm_up(url: str, path: str) -> None:
    """The process opens all connections that its pools may have, and has none with a client any more."""
    async with api_client(url) as client:
        answers = await asyncio.gather(*(client.get(f"{path}?limit=1") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    await eventually(lambda: served(url) == 0, "who warmed it up is gone")


def served(url: str) -> int:
    """Connections of a server that it has not closed; of those that a client has reset the system knows no more."""
    port = f":{urlsplit(url).port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(port) and line[3] in {ESTABLISHED, CLOSE_WAIT} for line in lines)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what a process has open is read from /proc")
async def test_five_hundred_streams_that_are_cut_or_never_read_leave_nothing_behind(whole: Whole, crowd: Crowd) -> None:
    roadmap_id = await whole.create()
    path = f"/v1/roadmaps/{roadmap_id}/events"
    await whole.stack.start("web")
    url, web = whole.stack.web_url, whole.stack["web"]
    await warm_up(url, path)
    before, subscribed = open_files(web), await subscriptions(whole)
    async with faithful(url, path) as seqs:
        streams = await crowd.open(STREAMS - 1, url, path)
        assert await subscriptions(whole) == subscribed
        cut(streams[SLOW:])
        await tell(whole.db, roadmap_id, EVENTS, LARGE)
        await eventually(lambda: open_files(web) <= before + 1, "all but one are gone", within=PATIENCE + SLACK)
        # The caller's limit counts each stream that is still listened for.
        await crowd.open(STREAMS - 1, url, f"{path}?after={EVENTS + 1}")
        await whole.api.post((await whole.api.get(f"/v1/roadmaps/{roadmap_id}")).json()["links"]["cancel"])
    assert seqs == list(range(1, EVENTS + 3))
    crowd.close()
    await eventually(lambda: open_files(web) <= before, "nobody is left")
    assert await subscriptions(whole) == subscribed
    assert await whole.stack.terminate("web") == 0
    assert "Traceback" not in web.text()
