"""Looking up the names of strangers' hosts, beside the event loop and beside everybody else's lookups."""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from roadmap.outbound.errors import NoSuchName, Unreached

__all__ = ["Names"]

_MOST_LOOKUPS = 64
# It exists for good (RFC 2606): who does not know it does not know the Internet's names.
_KNOWN = "example.com"


def _ask_system(host: str) -> Sequence[str]:
    # The dot at the end keeps the system from trying the name inside its own domains, too.
    found = socket.getaddrinfo(f"{host}.", None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Names:
    """What a name leads to.

    A lookup cannot be stopped, and a stranger's server may take half a minute to not answer. So each has a thread of
    its own that no exit waits for, instead of one from the loop's pool, in which the model's host is looked up.
    """

    def __init__(self, ask: Callable[[str], Sequence[str]] = _ask_system) -> None:
        self._ask = ask
        self._free = threading.BoundedSemaphore(_MOST_LOOKUPS)

    async def look_up(self, host: str) -> Sequence[str]:
        """IP addresses, best first; never empty. Raises NoSuchName, or Unreached when nobody could tell."""
        if not self._free.acquire(blocking=False):
            raise Unreached("too many names are being looked up")
        answer: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()
        try:
            threading.Thread(target=self._work, args=(host, answer), daemon=True).start()
        except RuntimeError as exc:
            self._free.release()
            raise Unreached("the machine has no thread left") from exc
        return await answer

    def _work(self, host: str, answer: asyncio.Future[Sequence[str]]) -> None:
        try:
            settle = partial(_settle, answer, self._find(host))
        except Unreached as exc:
            settle = partial(_fail, answer, exc)
        finally:
            self._free.release()
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            answer.get_loop().call_soon_threadsafe(settle)

    def _find(self, host: str) -> Sequence[str]:
        try:
            return self._ask(host)
        except OSError as exc:
            if isinstance(exc, socket.gaierror) and exc.errno == socket.EAI_NONAME and self._knows_any():
                raise NoSuchName("its host does not exist") from exc
            raise Unreached("its host could not be looked up") from exc

    def _knows_any(self) -> bool:
        """A machine without the Internet also says of every name that it does not exist."""
        try:
            return bool(self._ask(_KNOWN))
        except OSError:
            return False


def _settle(answer: asyncio.Future[Sequence[str]], found: Sequence[str]) -> None:
    if not answer.done():  # canceled: whoever asked has gone
        answer.set_result(found)


def _fail(answer: asyncio.Future[Sequence[str]], error: Unreached) -> None:
    if not answer.done():
        answer.set_exception(error)
