"""The one socket of a process."""

import socket

from roadmap.errors import Misconfigured

__all__ = ["open_socket", "port_of"]


def open_socket(host: str, port: int) -> socket.socket:
    """One for IPv4 and IPv6 when no host is given: private networks may be IPv6 only. Port 0 takes a free one.

    Raises Misconfigured when the port is taken.
    """
    try:
        if not host and socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as exc:
        raise Misconfigured(f"cannot listen on port {port}: {exc.strerror}") from exc


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port
