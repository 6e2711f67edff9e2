"""Names under which a machine with AUTH_MODE=none answers.

A page of a stranger can let its own name point to this machine (DNS rebinding), and then speak to us as if it were
ours. Its name is a public one, with a dot; an address, `localhost` and the names of a home's or a container's network
are not.
"""

import ipaddress

from starlette.requests import Request

from roadmap.errors import Forbidden

__all__ = ["require_local_host"]

# Nobody can register a name below these.
HOME_NETWORKS = (".localhost", ".local", ".internal", ".home.arpa")


def require_local_host(request: Request, configured: str) -> None:
    """Raises Forbidden for a name that might be a stranger's; `configured` is the setting HOST, which is none."""
    host = request.headers.get("host", "").strip().lower()
    name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
    name = name.strip("[]").rstrip(".")
    if name and "." in name and not _is_local(name) and name != configured.lower():
        raise Forbidden("with AUTH_MODE=none this machine answers to localhost, to its addresses and to HOST alone")


def _is_local(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.endswith(HOME_NETWORKS)
    return True
