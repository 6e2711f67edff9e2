"""Folders for servers: one that `nobody` can enter, one that it cannot."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="roadmap-embedded-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """As in /root: a folder in whose parent only its owner may look. What was put elsewhere is removed as well."""
    closed = Path(tempfile.mkdtemp(prefix="roadmap-embedded-"))
    folder = closed / "servers"
    folder.mkdir()
    yield folder
    for link in folder.rglob("elsewhere"):
        shutil.rmtree(link.resolve(), ignore_errors=True)
    shutil.rmtree(closed, ignore_errors=True)
