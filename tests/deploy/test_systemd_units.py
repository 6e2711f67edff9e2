"""The units of deploy/systemd, as systemd reads them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from deployed import UNITS, read_unit

from roadmap.settings import Settings

MOST_EXPOSED = 2.0  # of 10, by systemd's own reckoning
PROGRAM = "/opt/roadmap/bin/roadmap"

with_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """With a program that is there."""
    for unit in UNITS.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    return tmp_path


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], cwd=folder, capture_output=True, check=False, text=True)


@with_systemd
def test_systemd_has_nothing_to_say_about_them(units: Path) -> None:
    names = [f"./{name}" for name in ("roadmap.target", "roadmap-migrate.service", "roadmap@web.service")]
    checked = analyze(units, "verify", "--man=no", *names)
    assert (checked.returncode, checked.stderr) == (0, "")
    (units / "roadmap-migrate.service").write_text("[Service]\nExecStart=/no/such/program\nRestartt=no\n")
    assert "Restartt" in analyze(units, "verify", "--man=no", names[1]).stderr


@with_systemd
@pytest.mark.parametrize("name", ["roadmap@web.service", "roadmap-migrate.service"])
def test_they_may_do_little_else_than_serve(units: Path, name: str) -> None:
    told = analyze(units, "security", "--offline=true", "--no-pager", f"./{name}").stdout
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert exposure, told
    assert float(exposure[1]) < MOST_EXPOSED


def test_a_process_sees_what_its_metrics_are_made_from() -> None:
    """The library asks /proc/stat when the system was started, and without that has nothing to tell of the process."""
    assert "ProcSubset" not in read_unit("roadmap@.service")


def test_every_unit_runs_what_the_page_installs() -> None:
    commands = [*read_unit("roadmap@.service")["ExecStart"], *read_unit("roadmap-migrate.service")["ExecStart"]]
    assert commands == [f"{PROGRAM} %i", f"{PROGRAM} migrate"]
    wanted = read_unit("roadmap.target")["Wants"][0].split()
    assert set(wanted) == {f"roadmap@{name}.service" for name in ("web", "logs", "content")}


def test_a_process_has_ended_by_itself_before_systemd_kills_it() -> None:
    stop = float(read_unit("roadmap@.service")["TimeoutStopSec"][0])
    assert stop >= Settings.model_fields["shutdown_grace"].default + 10
