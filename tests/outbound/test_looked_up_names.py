"""Looking names up: what is known of a name, what is known of nothing, and what never answers."""

import asyncio
import socket
import threading
from collections.abc import Sequence

import pytest
from waiting import eventually

from roadmap.outbound.errors import NoSuchName, Unreached
from roadmap.outbound.names import Names

UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_a_name_leads_to_addresses() -> None:
    assert await Names(lambda host: [f"address of {host}"]).look_up("docs.python.org") == ["address of docs.python.org"]


async def test_the_system_knows_no_name_below_invalid() -> None:
    """On a machine without name servers nothing more can be said."""
    with pytest.raises(Unreached):
        await Names().look_up("docs.python.org.invalid")


async def test_a_name_that_somebody_says_is_none_does_not_exist() -> None:
    def ask(host: str) -> Sequence[str]:
        if host != "example.com":
            raise UNKNOWN
        return ["93.184.215.14"]

    with pytest.raises(NoSuchName):
        await Names(ask).look_up("no.such.name.org")


async def test_a_machine_that_knows_no_name_at_all_says_nothing_about_one() -> None:
    def ask(_: str) -> Sequence[str]:
        raise UNKNOWN

    with pytest.raises(Unreached) as caught:
        await Names(ask).look_up("docs.python.org")
    assert not isinstance(caught.value, NoSuchName)


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_AGAIN, "later"), socket.gaierror(-5, "none"), OSError()])
async def test_a_resolver_in_trouble_says_nothing_about_a_name(error: OSError) -> None:
    def ask(host: str) -> Sequence[str]:
        if host != "example.com":
            raise error
        return ["93.184.215.14"]

    with pytest.raises(Unreached) as caught:
        await Names(ask).look_up("docs.python.org")
    assert not isinstance(caught.value, NoSuchName)


async def test_look_ups_that_never_end_are_bounded_and_their_callers_may_leave() -> None:
    over = threading.Event()

    def ask(_: str) -> Sequence[str]:
        over.wait(60)
        return ["93.184.215.14"]

    names = Names(ask)
    try:
        waiting = [asyncio.create_task(names.look_up("slow.org")) for _ in range(64)]
        await asyncio.sleep(0)
        with pytest.raises(Unreached, match="too many"):
            await names.look_up("one.more.org")
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        with pytest.raises(Unreached, match="too many"):
            await names.look_up("the.thread.is.still.there.org")
    finally:
        over.set()
    assert await asyncio.gather(*waiting[1:]) == [["93.184.215.14"]] * 63

    async def look() -> Sequence[str]:
        try:
            return await names.look_up("docs.python.org")
        except Unreached:
            return []

    assert await eventually(look, "threads are free again") == ["93.184.215.14"]


def test_a_loop_that_closes_first_is_no_fault_of_the_look_up() -> None:
    over, faults = threading.Event(), []
    threads: list[threading.Thread] = []

    def ask(_: str) -> Sequence[str]:
        threads.append(threading.current_thread())
        over.wait(60)
        return []

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await Names(ask).look_up("slow.org")

    before, threading.excepthook = threading.excepthook, lambda args: faults.append(args.exc_value)
    try:
        asyncio.run(leave())
        over.set()
        threads[0].join(10)
    finally:
        threading.excepthook = before
    assert not threads[0].is_alive()
    assert faults == []
