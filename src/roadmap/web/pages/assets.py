"""Style, script and icon of the pages, from the package: a name holds a hash of its content, and is kept for ever."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["STATIC", "asset_url", "read_asset", "read_folder"]

STATIC = "/monitor/static/{name}"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_HASHED = re.compile(r"([a-z-]{1,40})\.([0-9a-f]{12})\.([a-z]{2,4})")


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    media_type: str
    hash: str


@cache
def _assets() -> MappingProxyType[str, Asset]:
    return MappingProxyType(read_folder(files("roadmap.web.pages") / "static"))


def read_folder(folder: Traversable) -> dict[str, Asset]:
    """Assets by their names in the package. What is of another kind, as an editor's own files, is none."""
    return {one.name: _asset(one.name, one.read_bytes()) for one in folder.iterdir() if _is_asset(one)}


def _is_asset(file: Traversable) -> bool:
    return file.is_file() and _kind(file.name) in _TYPES


def _asset(name: str, body: bytes) -> Asset:
    return Asset(body, _TYPES[_kind(name)], hashlib.sha256(body).hexdigest()[:12])


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def asset_url(name: str) -> str:
    """`monitor.css` → /monitor/static/monitor.0123456789ab.css"""
    stem, _, kind = name.rpartition(".")
    return STATIC.format(name=f"{stem}.{_assets()[name].hash}.{kind}")


async def read_asset(request: Request) -> Response:
    """An old name is not found: what it named is gone, and its page was loaded from another version."""
    found = _HASHED.fullmatch(request.path_params["name"])
    asset = _assets().get(f"{found[1]}.{found[3]}") if found else None
    if found is None or asset is None or asset.hash != found[2]:
        raise HTTPException(404)
    headers = {"ETag": f'"{asset.hash}"', "Cache-Control": "public, max-age=31536000, immutable"}
    if asset.hash in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)
