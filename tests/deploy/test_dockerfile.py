"""The Dockerfile and what it is built from, as far as reading tells; test_image.py builds and runs it."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from deployed import ROOT, dockerfile
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKED = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
HADOLINT = Path(sys.executable).with_name("hadolint")


def locked(name: str) -> dict[str, str]:
    return {canonicalize_name(n): version for n, version in LOCKED.findall((ROOT / name).read_text())}


def final_stage() -> list[tuple[str, str]]:
    instructions = dockerfile()
    last = max(n for n, (name, _) in enumerate(instructions) if name == "FROM")
    return instructions[last:]


@pytest.mark.skipif(not HADOLINT.exists() and shutil.which("hadolint") is None, reason="no hadolint")
def test_hadolint_finds_nothing(tmp_path: Path) -> None:
    program = str(HADOLINT) if HADOLINT.exists() else "hadolint"
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp\n")
    assert subprocess.run([program, str(bad)], capture_output=True, check=False).returncode == 1
    checked = subprocess.run([program, "Dockerfile"], cwd=ROOT, capture_output=True, check=False, text=True)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_image_has_the_versions_that_were_tested_and_nothing_for_tests_or_bare_machines() -> None:
    tested, image = locked("requirements.lock"), locked("requirements-image.lock")
    assert {name for name, version in image.items() if tested.get(name) != version} == set()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"], project["project"]["optional-dependencies"]
    unwanted = {
        canonicalize_name(Requirement(line).name) for group in groups for lines in group.values() for line in lines
    }
    needed = {canonicalize_name(Requirement(line).name) for line in project["project"]["dependencies"]}
    assert needed <= set(image)
    assert set(image) & (unwanted - needed) == set()


@pytest.mark.parametrize("lock", ["requirements-image.lock", "requirements-build.lock"])
def test_every_package_is_known_by_its_hash_and_by_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert re.findall(r"https?:|file:|git\+|^-|^ *--(?!hash=sha256:)\S+", text, re.MULTILINE) == []
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=[a-z])", text)[1:])


def test_the_lock_of_the_build_has_what_pyproject_asks_for() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["image"]
    versions = locked("requirements-build.lock")
    stale = [
        line for line in wanted if not Requirement(line).specifier.contains(versions.get(Requirement(line).name, "0"))
    ]
    assert stale == [], "run `make lock`"


def test_the_builder_sees_only_what_it_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {
        source
        for name, words in dockerfile()
        if name == "COPY" and "--from" not in words
        for source in words.split()[:-1]
    }
    assert copied == allowed
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_the_last_stage_installs_nothing_and_runs_as_nobody_in_particular() -> None:
    stage = final_stage()
    values = dict(stage)
    commands = " ".join(words for name, words in stage if name == "RUN")
    assert re.search(r"apt|pip|uv |gcc|curl|wget|--mount|<<", commands) is None
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", values["USER"])
    assert json.loads(values["ENTRYPOINT"]) == ["roadmap"]
    assert "CMD" not in values
    assert values["STOPSIGNAL"] == "SIGTERM"
    assert values["HEALTHCHECK"].endswith('CMD ["roadmap", "health"]')
    assert dict(re.findall(r'(\w+)="?([^\s"]+)', values["ENV"]))["PORT"] == values["EXPOSE"]


def test_no_stage_depends_on_a_builder_s_extensions() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"--mount|<<|^# *syntax=|latest", text, re.MULTILINE) is None
    assert {words.split(" AS ")[0] for name, words in dockerfile() if name == "FROM"} == {"${PYTHON_IMAGE}"}
    assert re.search(r"^ARG PYTHON_IMAGE=\S+/python:3\.1[1-9]\S*-slim", text, re.MULTILINE)


def test_buildpacks_get_the_versions_of_the_image_and_the_project_itself() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert locked("requirements.txt") == locked("requirements-image.lock")
    assert lines[-1] == "."
