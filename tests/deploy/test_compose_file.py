"""compose.yaml: valid by the Compose specification, and right in what a schema cannot see."""

import json
import re
from typing import Any

import jsonschema
import pytest
from deployed import ROOT, dockerfile, read_compose

from roadmap.cli.main import main
from roadmap.settings import Settings

# github.com/compose-spec/compose-spec, schema/compose-spec.json, as it was in November 2026; Apache License 2.0.
SCHEMA = json.loads((ROOT / "tests" / "deploy" / "compose-spec.json").read_text())
SETTINGS = {name.upper() for name in Settings.model_fields}
# Read by libpq and by asyncpg.
LIBPQ = {"PGPASSWORD"}
OURS = ("web", "logs", "content", "migrate")
INTERPOLATED = re.compile(r"\$\{(\w+)(?::?([-?])([^}]*))?\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read_compose()


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def test_it_is_a_compose_file(compose: dict[str, Any]) -> None:
    jsonschema.validate(compose, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**compose, "services": {"web": {"comand": ["web"]}}}, SCHEMA)


def test_it_has_every_process_and_both_servers(services: dict[str, Any]) -> None:
    assert set(services) == {*OURS, "postgres", "redis"}
    assert [name for name in OURS if services[name]["command"] != [name]] == []


def test_the_image_is_built_once_and_never_looked_for_elsewhere(services: dict[str, Any]) -> None:
    """Two builds of one name collide: github.com/desec-io/desec-stack/issues/1233."""
    assert {services[name]["image"] for name in OURS} == {"roadmap"}
    assert {name: service["build"] for name, service in services.items() if "build" in service} == {"migrate": "."}
    assert {name for name in OURS if services[name].get("pull_policy") == "never"} == {*OURS} - {"migrate"}


def test_every_command_is_one_of_ours(services: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    checks = {tuple(services[name]["healthcheck"]["test"][1:]) for name in OURS if name != "migrate"}
    assert checks == {("roadmap", "health")}
    for command in [*(services[name]["command"] for name in OURS), *(list(check[1:]) for check in checks)]:
        with pytest.raises(SystemExit) as ended:
            main([*command, "--help"])
        assert ended.value.code == 0
        assert f"roadmap {command[0]}" in capsys.readouterr().out


def test_nothing_starts_before_what_it_needs(services: dict[str, Any]) -> None:
    healthy = {"postgres": "service_healthy", "redis": "service_healthy"}
    for name in ("web", "logs", "content"):
        needed = {other: said["condition"] for other, said in services[name]["depends_on"].items()}
        assert needed == {**healthy, "migrate": "service_completed_successfully"}
    assert set(services["migrate"]["depends_on"]) == {"postgres"}
    assert services["migrate"]["restart"] == "no"
    assert all("healthcheck" in services[name] for name in healthy)


def test_every_variable_of_ours_is_a_setting(services: dict[str, Any]) -> None:
    for name in OURS:
        assert set(services[name]["environment"]) - SETTINGS <= LIBPQ
    # A setting that no process of ours would see has no place in the example either.
    offered = set(re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert offered == set(interpolated())


def test_each_process_is_given_its_own_secrets_only(services: dict[str, Any]) -> None:
    holders = {
        variable: {name for name in OURS if variable in services[name]["environment"]}
        for variable in ("JWT_SECRET_KEY", "ADMIN_PASSWORD", "LLM_API_KEY")
    }
    assert holders == {"JWT_SECRET_KEY": {"web"}, "ADMIN_PASSWORD": {"web"}, "LLM_API_KEY": {"content"}}


def test_there_is_no_password_to_forget(services: dict[str, Any]) -> None:
    """What must be set has no default: Compose refuses to start without it, and says which."""
    defaults = interpolated()
    assert {name for name, (operator, _) in defaults.items() if operator == "?"} == {
        "POSTGRES_PASSWORD",
        "JWT_SECRET_KEY",
    }
    example = (ROOT / ".env.example").read_text()
    assert re.findall(r"^(\w*(?:PASSWORD|KEY)\w*)=(.+)$", example, re.MULTILINE) == []
    assert services["web"]["environment"]["ENVIRONMENT"] == "production"


def interpolated() -> dict[str, tuple[str, str]]:
    found = INTERPOLATED.findall((ROOT / "compose.yaml").read_text())
    return {name: (operator, rest) for name, operator, rest in found}


def test_only_this_machine_reaches_it_and_only_the_api(services: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(ports) == {"web"}
    assert all(port.startswith("127.0.0.1:") for port in ports["web"])
    exposed = dict(dockerfile())["EXPOSE"]
    assert all(port.endswith(f":{exposed}") for port in ports["web"])


def test_our_containers_may_do_nothing_but_serve(services: dict[str, Any]) -> None:
    for name in OURS:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
    assert all("no-new-privileges:true" in service["security_opt"] for service in services.values())


def test_a_process_has_ended_by_itself_before_it_is_killed(services: dict[str, Any]) -> None:
    grace = Settings.model_fields["shutdown_grace"].default
    assert all(int(services[name]["stop_grace_period"].removesuffix("s")) >= grace + 10 for name in OURS)


def test_redis_keeps_what_it_was_told_and_both_servers_keep_their_files(compose: dict[str, Any]) -> None:
    services = compose["services"]
    command = " ".join(services["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    named = {volume.split(":")[0] for name in ("postgres", "redis") for volume in services[name]["volumes"]}
    assert named == set(compose["volumes"]) == {"postgres", "redis"}


def test_git_does_not_see_the_secrets() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "settings.env"} <= set(ignored)
