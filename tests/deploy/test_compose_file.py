"""compose.yaml: valid by the Compose specification, and right in what a schema cannot see."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from deployed import ROOT, commands_in, dockerfile, read_compose, read_page

from roadmap.cli.main import main
from roadmap.settings import Settings, read_settings

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


def resolved(value: Any, **given: str) -> str:
    """As Compose does it: what is empty has its default."""
    return INTERPOLATED.sub(lambda found: given.get(found[1]) or (found[3] if found[2] == "-" else ""), str(value))


@pytest.fixture
def settings_of_content(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """What its process reads, when `.env` says so."""
    for name in [name for name in os.environ if name in SETTINGS or name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)

    def read(**given: str) -> Settings:
        for name, value in services["content"]["environment"].items():
            monkeypatch.setenv(name, resolved(value, **given))
        return read_settings()

    return read


def test_a_key_alone_is_enough_for_a_real_model(settings_of_content: Callable[..., Settings]) -> None:
    assert not settings_of_content(LLM_API_KEY="a-key").uses_offline_model
    assert not settings_of_content(LLM_BASE_URL="https://models.example/v1").uses_offline_model


def test_the_offline_model_is_named_by_the_example_and_never_a_default(
    settings_of_content: Callable[..., Settings],
) -> None:
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert settings_of_content(**example).llm_provider == "offline"
    assert settings_of_content().llm_provider == "auto", "which production refuses without a model"


def test_as_many_workers_run_as_every_process_is_told(services: dict[str, Any]) -> None:
    for given in ({}, {"REPLICAS_CONTENT": "3"}):
        wanted = given.get("REPLICAS_CONTENT", "1")
        assert resolved(services["content"]["deploy"]["replicas"], **given) == wanted
        told = {resolved(services[name]["environment"]["REPLICAS_CONTENT"], **given) for name in OURS}
        assert told == {wanted}


def test_servers_of_ones_own_are_named_in_env_and_ours_may_go(compose: dict[str, Any]) -> None:
    own = {"DATABASE_URL": "postgresql://me:secret@db.example/roadmap", "REDIS_URL": "rediss://cache.example"}
    rest = json.loads(json.dumps(compose))
    del rest["services"]["postgres"], rest["services"]["redis"], rest["volumes"], rest["x-roadmap"]
    del rest["services"]["migrate"]["depends_on"]
    for name in OURS:
        service = rest["services"][name]
        assert {key: resolved(service["environment"][key], **own) for key in own} == own
        for server in ("postgres", "redis"):
            service.get("depends_on", {}).pop(server, None)
        del service["environment"]["PGPASSWORD"]
    jsonschema.validate(rest, SCHEMA)
    left = resolved(yaml.dump(rest), **own)
    assert re.findall(r"POSTGRES_PASSWORD|@postgres|//redis\b|service_healthy", left) == []


def test_every_image_of_others_has_its_registry(services: dict[str, Any]) -> None:
    """podman asks which one is meant, or refuses."""
    others = [service["image"] for name, service in services.items() if name not in OURS]
    assert [image for image in others if not re.match(r"[\w-]+(\.[\w-]+)+/.+:.+", image)] == []
    assert len(others) == 2


def test_the_page_makes_env_once_with_its_secrets(tmp_path: Path) -> None:
    (make,) = [command for command in commands_in(read_page("compose.md")) if ".env.example" in command]
    (tmp_path / ".env.example").write_text((ROOT / ".env.example").read_text())
    env = tmp_path / ".env"
    subprocess.run(["sh", "-ec", make], cwd=tmp_path, check=True)
    first = env.read_text()
    secrets = re.findall(r"^(?:POSTGRES_PASSWORD|JWT_SECRET_KEY)=([0-9a-f]{64})$", first, re.MULTILINE)
    assert len(set(secrets)) == 2
    assert env.stat().st_mode & 0o077 == 0
    subprocess.run(["sh", "-ec", make], cwd=tmp_path, check=True)
    assert env.read_text() == first, "the volume keeps the first password"


def test_the_proxy_in_front_of_a_container_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker gives networks from these pools when nobody says otherwise; what the container sees is the gateway."""
    (trusted,) = re.findall(r"TRUSTED_PROXIES=(\S+)", read_page("compose.md"))
    monkeypatch.setenv("TRUSTED_PROXIES", trusted)
    networks = [ip_network(one) for one in read_settings().trusted_proxies.split(",")]
    for gateway in ("172.17.0.1", "172.18.0.1", "172.31.0.1", "192.168.0.1", "192.168.240.1", "::ffff:172.18.0.1"):
        assert any(ip_address(gateway) in network for network in networks), gateway
    assert not any(ip_address("203.0.113.7") in network for network in networks)


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
