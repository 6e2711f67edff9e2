"""railway.json, .railway/railway.py and what the page says to set by hand: valid for Railway, and of one mind."""

import json
import re
from typing import Any

import jsonschema
import pytest
from deployed import ROOT, read_page, read_railway_graph

from roadmap.settings import Settings

SETTINGS = {name.upper() for name in Settings.model_fields}
# Railway's own bounds are not published; a day is surely too long.
SECONDS = {"type": "integer", "minimum": 0, "maximum": 86_400}
# From docs.railway.com/config-as-code/reference (November 2026), without the keys that we do not use. Seconds must be
# numbers, whatever the examples there say: github.com/railwayapp/docs/issues/1243.
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["$schema", "build", "deploy"],
    "properties": {
        "$schema": {"const": "https://railway.com/railway.schema.json"},
        "build": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"builder": {"enum": ["RAILPACK", "DOCKERFILE"]}, "dockerfilePath": {"type": "string"}},
        },
        "deploy": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "startCommand": {"type": "string", "not": {"pattern": r"\$"}},
                "preDeployCommand": {"type": "array", "items": {"type": "string"}},
                "healthcheckPath": {"type": "string", "pattern": "^/"},
                "healthcheckTimeout": SECONDS,
                "restartPolicyType": {"enum": ["ON_FAILURE", "ALWAYS", "NEVER"]},
                "overlapSeconds": SECONDS,
                "drainingSeconds": SECONDS,
            },
        },
    },
}


@pytest.fixture(scope="module")
def one_for_all() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((ROOT / "railway.json").read_text())
    return parsed


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in read_railway_graph()["resources"] if node["type"] == "service"}


def test_railway_json_is_what_railway_reads(one_for_all: dict[str, Any]) -> None:
    jsonschema.validate(one_for_all, SCHEMA)


@pytest.mark.parametrize(
    ("key", "value"), [("drainingSeconds", "60"), ("startCommand", "roadmap web --port $PORT"), ("draining", 60)]
)
def test_what_railway_refuses_or_does_not_expand_is_noticed(key: str, value: Any, one_for_all: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**one_for_all, "deploy": {**one_for_all["deploy"], key: value}}, SCHEMA)


def test_both_files_say_the_same(one_for_all: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    """The one file for all services gives each as long as the slowest needs to stop."""
    assert set(services) == {"web", "logs", "content"}
    for service in services.values():
        own = service["deploy"].pop("drainingSeconds")
        assert own <= one_for_all["deploy"]["drainingSeconds"]
        assert {**service["deploy"], "drainingSeconds": own} == {**one_for_all["deploy"], "drainingSeconds": own}
        assert service["build"] == one_for_all["build"]
        service["deploy"]["drainingSeconds"] = own
    longest = max(service["deploy"]["drainingSeconds"] for service in services.values())
    assert longest == one_for_all["deploy"]["drainingSeconds"]


def test_what_is_set_by_hand_is_what_the_file_says(one_for_all: dict[str, Any]) -> None:
    """New services do not read it."""
    deploy = one_for_all["deploy"]
    rows = dict(re.findall(r"^\| ([A-Z][\w -]+) \| `([^`]+)`", read_page("railway.md"), re.MULTILINE))
    assert rows == {
        "Custom Start Command": deploy["startCommand"],
        "Pre-deploy Command": " && ".join(deploy["preDeployCommand"]),
        "Healthcheck Path": deploy["healthcheckPath"],
        "Healthcheck Timeout": str(deploy["healthcheckTimeout"]),
        "Restart Policy": deploy["restartPolicyType"].title(),
        "Overlap": str(deploy["overlapSeconds"]),
        "Draining": str(deploy["drainingSeconds"]),
    }
    named = dict(re.findall(r"`RAILWAY_DEPLOYMENT_(\w+)_SECONDS=(\d+)`", read_page("railway.md")))
    assert named == {"OVERLAP": rows["Overlap"], "DRAINING": rows["Draining"]}


def test_services_come_from_a_clone_or_from_the_repository_that_is_named() -> None:
    for repository, kind in (("", "empty"), ("you/roadmap", "github")):
        graph = read_railway_graph(repository=repository)
        services = [node for node in graph["resources"] if node["type"] == "service"]
        assert [node["kind"] for node in services] == [kind] * 3
        assert {node.get("source", {}).get("repo", "") for node in services} == {repository}
    sent = re.findall(r"railway up --service (\w+) --detach", read_page("railway.md"))
    assert sent == [node["name"] for node in services]


def test_every_process_has_ended_by_itself_before_railway_kills_it(
    one_for_all: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    default = Settings.model_fields["shutdown_grace"].default
    assert default + 10 <= one_for_all["deploy"]["drainingSeconds"]
    for service in services.values():
        grace = float(service["variables"].get("SHUTDOWN_GRACE", {}).get("value", default))
        assert grace + 10 <= service["deploy"]["drainingSeconds"]


def test_every_variable_is_a_setting_and_every_service_finds_its_servers(services: dict[str, dict[str, Any]]) -> None:
    addresses = {"database.postgres": "DATABASE_URL", "database.redis": "REDIS_URL"}
    for service in services.values():
        variables = service["variables"]
        assert set(variables) - SETTINGS == {"SERVICE_TYPE"}
        given = {v["resource"]: v["output"] for v in variables.values() if v["type"] == "reference"}
        assert given == addresses


def test_no_secret_is_in_the_file(services: dict[str, dict[str, Any]]) -> None:
    secrets = {name: v for s in services.values() for name, v in s["variables"].items() if name.endswith("_KEY")}
    assert {name: v["type"] for name, v in secrets.items()} == {
        "JWT_SECRET_KEY": "sharedReference",
        "LLM_API_KEY": "sharedReference",
    }
