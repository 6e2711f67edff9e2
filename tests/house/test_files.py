"""The files around the code: what is in the repository, how it is set up, started and checked."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from project_code import ROOT

from roadmap.cli.main import main
from roadmap.embedded.supervisor import parse_procfile

GENERATED = re.compile(r"(\.(pyc|so|egg-info|log|whl)|/__pycache__/.*|^uv\.lock|^\.data/.*|^build/.*|^dist/.*)$")
# Below folders of one machine. (What a container has, such as /app or /tmp, is fine.)
MACHINE_PATH = re.compile(r"(?<![\w./:])/(?:work/\w|root/[\w.]|home/\w+/|Users/\w+/|opt/(?:pypi|wheels)\b)")
# What the built-in model teaches about file systems.
TAUGHT = "src/roadmap/llm/offline/pack/"
LOCKED = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
LONGEST_TARGET = 3
MOST_LINES = {"ARCHITECTURE.md": 150}


def repository() -> list[Path]:
    """What is in git, or would be with `git add .`."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a clone, or no git")
    # Whoever owns the clone: a container's root reads a user's, too.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_nothing_generated_is_in_the_repository() -> None:
    assert GENERATED.search("src/roadmap/__pycache__/cli.pyc")
    assert not GENERATED.search("src/roadmap/cli/main.py")
    assert [str(path) for path in repository() if GENERATED.search(str(path.relative_to(ROOT)))] == []


def test_no_two_files_of_the_tests_have_one_name() -> None:
    """Folders of tests are no packages: pytest imports each file by its name alone."""
    names = Counter(path.name for path in repository() if path.is_relative_to(ROOT / "tests") and path.suffix == ".py")
    assert [name for name, count in names.items() if count > 1 and name != "conftest.py"] == []


def test_no_file_names_a_folder_of_somebody_s_machine() -> None:
    assert MACHINE_PATH.search("see " + "/wo" + "rk/notes")
    assert not MACHINE_PATH.search("src/work/x, https://root:key@example.org/root/x, /usr/bin, /root")
    assert [str(path) for path in repository() if names_a_machine(path)] == []


def names_a_machine(path: Path) -> bool:
    taught = path.is_relative_to(ROOT / TAUGHT)
    return not taught and MACHINE_PATH.search(path.read_text(errors="ignore")) is not None


def test_the_lock_names_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert re.findall(r"https?:|file:|git\+|^-|^ *--(?!hash=sha256:)\S+", lock, re.MULTILINE) == []


def test_the_lock_has_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [
        project["dependency-groups"]["dev"],
        project["project"]["dependencies"],
        project["build-system"]["requires"],
    ]
    locked = {
        canonicalize_name(name): version for name, version in LOCKED.findall((ROOT / "requirements.lock").read_text())
    }
    wanted = [
        Requirement(line) for group in [*groups, project["project"]["optional-dependencies"]["local"]] for line in group
    ]
    stale = [str(one) for one in wanted if not one.specifier.contains(locked.get(canonicalize_name(one.name), "0"))]
    assert stale == [], "run `make lock`"


def test_every_dependency_has_its_place_on_the_page_that_gives_reasons() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()
    project = pyproject["project"]
    wanted = [Requirement(line).name for line in (*project["dependencies"], *project["optional-dependencies"]["local"])]
    assert len(wanted) > 15
    assert [name for name in wanted if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", page)] == []
    allowed = {
        line
        for contract in pyproject["tool"]["importlinter"]["contracts"]
        for line in contract.get("ignore_imports", [])
    }
    users = {line.split()[0] for line in allowed if line.endswith("-> httpx")}
    assert {f"roadmap.{name.replace('/', '.')}" for name in re.findall(r"`([\w/]+)\.py`", page)} == users


def test_every_target_of_the_makefile_is_short_and_documented() -> None:
    long = "x: ## long\n\ta\n\tb\n\tc\n"
    assert find_bad_targets(long) == ["x has 4 lines"]
    assert find_bad_targets("x:\n\ta\n") == ["x is not documented"]
    assert find_bad_targets((ROOT / "Makefile").read_text()) == []


def find_bad_targets(makefile: str) -> list[str]:
    found = re.findall(r"^([a-z][\w-]*):(?!=)(.*)\n((?:\t.*\n)*)", makefile, re.MULTILINE)
    long = [f"{name} has {lines} lines" for name, _, body in found if (lines := 1 + body.count("\n")) > LONGEST_TARGET]
    return long + [f"{name} is not documented" for name, head, _ in found if "## " not in head]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_lists_what_it_can_do() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    assert {"setup", "demo", "run", "test", "check"} <= set(re.findall(r"make (\S+)", listed))


def test_the_procfile_starts_each_process_by_its_command() -> None:
    assert parse_procfile((ROOT / "Procfile").read_text()) == {
        "web": ["roadmap", "web"],
        "logs": ["roadmap", "logs"],
        "content": ["roadmap", "content"],
        "release": ["roadmap", "migrate"],
    }


def test_other_tools_read_the_procfile_too() -> None:
    command = [sys.executable, "-m", "honcho", "check", "-f", "Procfile"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    assert "web" in checked.stderr
    assert checked.returncode == 0


@pytest.mark.parametrize("command", ["web", "logs", "content", "migrate", "dev", "demo"])
def test_the_commands_that_files_name_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"roadmap {command}" in capsys.readouterr().out


def test_ci_runs_a_script_that_can_be_executed() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    subprocess.run(["bash", "-n", ".ci/run"], cwd=ROOT, check=True)


def test_documents_keep_their_length() -> None:
    long = [name for name, most in MOST_LINES.items() if (ROOT / name).exists() and count_lines(ROOT / name) > most]
    assert long == []


def count_lines(path: Path) -> int:
    return len(path.read_text().splitlines())
