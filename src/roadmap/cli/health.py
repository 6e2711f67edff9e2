"""`roadmap health`: a container asks itself. It starts in a moment, so it imports next to nothing of ours."""

import http.client
import os
import sys
from argparse import Namespace

__all__ = ["health"]

TIMEOUT = 3.0
_EVERYWHERE = {"", "0.0.0.0", "::", "[::]"}  # noqa: S104  addresses that a server listens on, which one cannot ask


def health(_arguments: Namespace) -> int:
    """0 when /health says 200 within 3 s. HOST and PORT are those of the process itself."""
    host, port = os.environ.get("HOST", ""), os.environ.get("PORT") or "8000"
    try:
        status = _ask("127.0.0.1" if host in _EVERYWHERE else host.strip("[]"), int(port))
    except (OSError, ValueError, http.client.HTTPException) as exc:
        print(f"roadmap: no answer on port {port} ({type(exc).__name__})", file=sys.stderr)
        return 1
    if status != 200:
        print(f"roadmap: /health on port {port} says {status}", file=sys.stderr)
        return 1
    return 0


def _ask(host: str, port: int) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status
    finally:
        connection.close()
