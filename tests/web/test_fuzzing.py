"""The OpenAPI document is true: what it allows is accepted, what it forbids is refused, and nothing breaks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from world import World

from roadmap.api.idempotency import KEY
from roadmap.api.problems import CODES
from roadmap.ids import new_id
from roadmap.web.openapi import document

EXAMPLES = 40
TOMORROW = str(datetime.now(UTC).date() + timedelta(days=1))

# Always the same examples: what is found here is found on every machine, and nothing is kept on disk.
generation = GenerationConfig(deterministic=True, database="none", with_security_parameters=False)
config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
schema = schemathesis.openapi.from_dict(document(), config=config)


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_document_is_kept_for_whatever_is_sent(case: Any, world: World) -> None:
    say_what_no_schema_can(case, world)
    caller = world.operator if case.path.startswith("/v1/admin/") else world.alice
    headers = {"Authorization": caller.headers["Authorization"]}
    case.call_and_validate(base_url=world.stack.web_url, headers=headers)


def say_what_no_schema_can(case: Any, world: World) -> None:
    """The ids are those of Alice's roadmap, days lie ahead, and cursors are those that a page gave."""
    case.path_parameters = {name: world.ids()[name] for name in case.path_parameters}
    if isinstance(case.body, dict) and is_day(case.body.get("deadline")):
        case.body["deadline"] = TOMORROW
    if "Idempotency-Key" in case.headers and KEY.fullmatch(case.headers["Idempotency-Key"]):
        case.headers["Idempotency-Key"] = new_id().hex
    if case.meta.generation.mode is GenerationMode.POSITIVE and not case.path.endswith("/events"):
        case.query.pop("after", None)


def is_day(value: Any) -> bool:
    try:
        return bool(datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC))
    except (TypeError, ValueError):
        return False


async def test_the_document_is_valid(world: World) -> None:
    answer = await world.nobody.get("/openapi.json")
    OpenAPIV31SpecValidator(answer.json()).validate()
    assert answer.json() == document()


def test_the_document_tells_every_problem_code() -> None:
    description = document()["info"]["description"]
    assert all(f"`{code}`" in description for code in CODES)
