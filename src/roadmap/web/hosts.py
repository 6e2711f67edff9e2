"""By which name we were asked, and from whose page.

With AUTH_MODE=none a machine answers to names of its own alone. A page of a stranger can let its own name point to this
machine (DNS rebinding), and then speak to us as if it were ours. Its name is a public one, with a dot; an address,
`localhost` and the names of a home's or a container's network are not.
"""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from starlette.requests import Request

from roadmap.errors import Forbidden

__all__ = ["check_origin", "is_sent_in_the_clear", "require_local_host"]

# Nobody can register a name below these.
HOME_NETWORKS = (".localhost", ".local", ".internal", ".home.arpa")


def require_local_host(request: Request, configured: str) -> None:
    """Raises Forbidden for a name that might be a stranger's; `configured` is the setting HOST, which is none."""
    host = request.headers.get("host", "").strip().lower()
    name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
    name = name.strip("[]").rstrip(".")
    if name and "." in name and not _is_local(name) and name != configured.lower():
        raise Forbidden("with AUTH_MODE=none this machine answers to localhost, to its addresses and to HOST alone")


def check_origin(request: Request) -> None:
    """Raises Forbidden for what the page of another site has sent. A browser says whose page it was; what is no
    browser carries nobody's cookie, and nobody's place on this machine."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in {"same-origin", "none"}:
            raise Forbidden("this request came from another site")
        return
    origin = request.headers.get("origin")
    if origin is not None and _split(origin).netloc.lower() != request.headers.get("host", "").lower():
        raise Forbidden("this request came from another site, or a proxy in front does not hand on the Host header")


def is_sent_in_the_clear(request: Request) -> bool:
    """Whether a browser says that its form was no page of HTTPS. Of a machine's own names browsers believe that nobody
    listens in between."""
    origin = _split(request.headers.get("origin", ""))
    return origin.scheme == "http" and not _is_loopback(origin.hostname or "")


def _is_local(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.endswith(HOME_NETWORKS)
    return True


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _split(origin: str) -> SplitResult:
    try:
        return urlsplit(origin)
    except ValueError:
        return urlsplit("")
