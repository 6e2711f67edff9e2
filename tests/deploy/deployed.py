"""What the files say that a host starts: each process's command and environment, with the file that names it."""

import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = [
    "ROOT",
    "Deployed",
    "commands_in",
    "dockerfile",
    "read_all",
    "read_compose",
    "read_page",
    "read_railway_graph",
    "read_unit",
]

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "deploy" / "systemd"
# What a command that is the same for all services meets in SERVICE_TYPE: today's names, and those of the Celery system.
SERVICE_TYPES = ("web", "logs", "content")
OLD_SERVICE_TYPES = ("api", "celery_logs", "celery_content")


@dataclass(frozen=True, slots=True)
class Deployed:
    """`command` is what is executed, without a shell; `says` what its file sets of the variables that choose."""

    file: str
    command: tuple[str, ...]
    service_type: str = ""
    variables: dict[str, Any] = field(default_factory=dict, compare=False, hash=False)

    @property
    def process(self) -> tuple[tuple[str, ...], str]:
        """What makes it differ from others; where the program was installed does not."""
        return ("roadmap", *self.command[1:]), self.service_type


def read_all() -> list[Deployed]:
    return [*_procfile(), *_compose(), *_railway_json(), *_railway_py(), *_systemd(), *_image()]


def read_compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return parsed


def read_page(name: str) -> str:
    return (ROOT / "docs" / "deploy" / name).read_text(encoding="utf-8")


def commands_in(page: str) -> list[str]:
    """The lines that it tells an operator to run, as a person or as root, without what it says of them."""
    lines = [
        line
        for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    return [re.sub(r" {3,}#.*", "", line[2:]) for line in lines if line.startswith(("$ ", "# "))]


def read_railway_graph(environment: str = "production", repository: str = "") -> dict[str, Any]:
    """As Railway's command line evaluates it."""
    from railway_sdk import create_railway_context

    spec = importlib.util.spec_from_file_location("railway_infrastructure", ROOT / ".railway" / "railway.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.REPOSITORY = repository or module.REPOSITORY
    graph: dict[str, Any] = module.main(create_railway_context({"environment": environment})).to_graph()
    return graph


def read_unit(name: str) -> dict[str, list[str]]:
    """Each key of a unit, of whatever section, with all its values."""
    values: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            values.setdefault(key, []).append(value)
    return values


def dockerfile() -> list[tuple[str, str]]:
    """Its instructions in order, each on one line."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line.strip()]


def _entrypoint() -> tuple[str, ...]:
    return tuple(json.loads(dict(dockerfile())["ENTRYPOINT"]))


def _image() -> Iterator[Deployed]:
    for name in OLD_SERVICE_TYPES:
        yield Deployed("Dockerfile", _entrypoint(), name)


def _procfile() -> Iterator[Deployed]:
    for line in (ROOT / "Procfile").read_text().splitlines():
        words = shlex.split(line.partition(":")[2])
        # A shell reads the line, and `exec` leaves nothing of it in front of the process.
        yield Deployed("Procfile", tuple(words[words[0] == "exec" :]))


def _compose() -> Iterator[Deployed]:
    for service in read_compose()["services"].values():
        if service["image"] == "roadmap":
            yield Deployed("compose.yaml", (*_entrypoint(), *service["command"]), variables=service["environment"])


def _railway_json() -> Iterator[Deployed]:
    deploy = json.loads((ROOT / "railway.json").read_text())["deploy"]
    for name in SERVICE_TYPES:
        yield Deployed("railway.json", tuple(shlex.split(deploy["startCommand"])), name)
    for command in deploy["preDeployCommand"]:
        yield Deployed("railway.json", tuple(shlex.split(command)))


def _railway_py() -> Iterator[Deployed]:
    for service in read_railway_graph()["resources"]:
        if service["type"] == "service":
            command = tuple(shlex.split(service["deploy"]["startCommand"]))
            yield Deployed(".railway/railway.py", command, service["variables"]["SERVICE_TYPE"]["value"])


def _systemd() -> Iterator[Deployed]:
    wanted = " ".join(read_unit("roadmap.target")["Wants"]).split()
    instances = re.findall(r"roadmap@(\w+)\.service", " ".join(wanted))
    for command in read_unit("roadmap@.service")["ExecStart"]:
        for instance in instances:
            yield Deployed("roadmap@.service", tuple(shlex.split(command.replace("%i", instance))))
    yield Deployed("roadmap-migrate.service", tuple(shlex.split(read_unit("roadmap-migrate.service")["ExecStart"][0])))
