"""Whom the servers run as (ourselves, or `nobody` when we are root), and a home where that account can work."""

import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog

from roadmap.errors import Misconfigured

__all__ = ["Account", "find_home", "make_private", "readable_copy", "server_account"]

log = structlog.get_logger()

_LASTING = Path("/var/lib")


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int


def server_account() -> Account | None:
    """None: our own. PostgreSQL refuses to run as root, so root lends it `nobody`."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise Misconfigured("as root the embedded servers need an account `nobody`; run as an ordinary user") from None
    return Account(entry.pw_uid, entry.pw_gid)


def find_home(folder: Path, account: Account | None, *, durable: bool) -> Path:
    """`folder`; or, where a parent of it is closed to `account`, a folder elsewhere, remembered by a symlink.

    Elsewhere is under /var/lib when the files must last, in the temporary folder otherwise; it is never removed.
    """
    if account is None or _may_enter(folder, account):
        return folder
    link = folder / "elsewhere"
    if not link.exists():
        parent = _LASTING if durable and os.access(_LASTING, os.W_OK) else None
        home = Path(tempfile.mkdtemp(prefix="roadmap-", dir=parent))
        home.chmod(0o755)
        link.unlink(missing_ok=True)
        link.symlink_to(home)
        log.warning("files_elsewhere", folder=str(folder), home=str(home), cause="nobody cannot enter the folder")
    return link.resolve()


def make_private(folder: Path, account: Account | None) -> None:
    """Makes the folder if it is not there, for the account's eyes only. Leaves alone what another user made."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if account is not None and folder.stat().st_uid == os.geteuid():
        os.chown(folder, account.uid, account.gid)


def readable_copy(originals: tuple[Path, ...], home: Path, account: Account | None) -> Path:
    """The folder that holds the originals: their own where `account` may enter it, else fresh copies in `home`."""
    if account is None or all(_may_enter(original.parent, account) for original in originals):
        return originals[0].parent
    copies = home / "programs"
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir()
    for original in originals:
        _copy(original, copies / original.name)
    return copies


def _copy(original: Path, copy: Path) -> None:
    if original.is_dir():
        shutil.copytree(original, copy, symlinks=True, ignore=shutil.ignore_patterns("*.a", "*.pyc"))
        return
    shutil.copy2(original, copy)


def _may_enter(folder: Path, account: Account) -> bool:
    place = folder.resolve()
    return all(_may_pass(each.stat(), account) for each in (place, *place.parents))


def _may_pass(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
