"""/openapi.json, generated from the URL table and the very models that validate."""

import re
from functools import cache
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from roadmap import __version__
from roadmap.api.idempotency import KEY
from roadmap.api.operation import NoBody, NoQuery, Operation
from roadmap.api.problems import CODES, ProblemModel
from roadmap.events.endpoints import LAST_EVENT_ID
from roadmap.events.model import PAYLOADS
from roadmap.web.routes import OPERATIONS

__all__ = ["document", "openapi"]

_REFS = "#/components/schemas/{model}"
# Each with its form and its meaning.
_HEADERS = {
    "Idempotency-Key": (KEY, "Repeats of a request with the same key have one effect; kept for 24 hours."),
    "Last-Event-ID": (LAST_EVENT_ID, "The `id` of the last event that you got; goes before `after`."),
}
_TEXT = {"type": "string"}
_CHECKS = {"type": "object", "additionalProperties": _TEXT}
_HEALTH = {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}
_READINESS = {
    "type": "object",
    "properties": {"status": {"enum": ["ready", "unready"]}, "checks": _CHECKS},
    "required": ["status", "checks"],
}
# What answers without an API key. Path: summary, statuses, content.
_PROBES: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "/health": (
        "Tell whether this process answers", {"200": "It does"}, {"application/json": {"schema": _HEALTH}},
    ),
    "/ready": (
        "Tell whether this process can serve",
        {"200": "It can; `checks` names what is degraded", "503": "It cannot; `checks` says why"},
        {"application/json": {"schema": _READINESS}},
    ),
    "/metrics": (
        "Show the figures of this process, for Prometheus",
        {"200": "Done"},
        {"text/plain": {"schema": _TEXT}, "application/openmetrics-text": {"schema": _TEXT}},
    ),
}  # fmt: skip
# Problems that any operation may answer with.
_SHARED = ("400", "401", "403", "404", "405", "409", "413", "415", "422", "429", "500", "503")


async def openapi(_request: Request) -> Response:
    return Response(_rendered(), media_type="application/json")


@cache
def _rendered() -> bytes:
    return orjson.dumps(document())


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    names, schemas = _schemas()
    paths: dict[str, dict[str, Any]] = {path: {"get": _describe_probe(path)} for path in _PROBES}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation, names, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Roadmap", "version": __version__, "description": _describe_conventions()},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Problem": _problem(names)},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


Names = dict[tuple[type[BaseModel], JsonSchemaMode], dict[str, str]]


def _schemas() -> tuple[Names, dict[str, Any]]:
    """References by model, and the definitions they point to."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemModel, "serialization")]
    models += [(model, "serialization") for model in PAYLOADS.values()]
    for operation in OPERATIONS:
        models.append((operation.answer, "serialization"))
        models += [(model, "validation") for model in (operation.body, operation.query)]
    references, definitions = models_json_schema(list(dict.fromkeys(models)), ref_template=_REFS)
    return references, definitions["$defs"]  # type: ignore[return-value]


def _describe(operation: Operation, names: Names, schemas: dict[str, Any]) -> dict[str, Any]:
    doc = (operation.endpoint.__doc__ or operation.summary).strip()
    described: dict[str, Any] = {
        "operationId": operation.endpoint.__name__,
        "summary": operation.summary,
        "description": re.sub(r"\s+", " ", doc),
        "parameters": [*_path_parameters(operation), *_query_parameters(operation, schemas), *_headers(operation)],
        "responses": _answers(operation, names),
    }
    if operation.body is not NoBody:
        schema = names[operation.body, "validation"]
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _describe_probe(path: str) -> dict[str, Any]:
    summary, statuses, content = _PROBES[path]
    answers: dict[str, Any] = {status: {"description": words, "content": content} for status, words in statuses.items()}
    problem = {"$ref": "#/components/responses/Problem"}
    refusals = dict.fromkeys(("401", "404", "503"), problem) if path == "/metrics" else {}
    return {"operationId": path.strip("/"), "summary": summary, "security": [], "responses": answers | refusals}


def _answers(operation: Operation, names: Names) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": names[operation.answer, "serialization"]}}
    for media_type in operation.other_media_types:
        content[media_type] = {"schema": {"type": "string"}}
    answers: dict[str, Any] = {str(operation.status): {"description": "Done", "content": content}}
    if operation.empty:
        answers["204"] = {"description": "Nothing new, and nothing is coming"}
    return answers | {status: {"$ref": "#/components/responses/Problem"} for status in _SHARED}


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    found = re.findall(r"{(\w+)}", operation.path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in found]


def _query_parameters(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if operation.query is NoQuery:
        return []
    properties: dict[str, Any] = schemas[operation.query.__name__]["properties"]
    return [{"name": name, "in": "query", "schema": _no_null(schema)} for name, schema in properties.items()]


def _no_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is left out is absent, never null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name not in {"anyOf", "default", "title"}}
    return {**rest, **choices[0]} if len(choices) == 1 else rest | ({"anyOf": choices} if choices else {})


def _headers(operation: Operation) -> list[dict[str, Any]]:
    return [_header(name, *_HEADERS[name]) for name in operation.headers]


def _header(name: str, form: re.Pattern[str], meaning: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^{form.pattern}$"}
    return {"name": name, "in": "header", "description": meaning, "schema": schema}


def _problem(names: Names) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": names[ProblemModel, "serialization"]}}
    return {"description": "A problem, by RFC 9457", "content": content}


def _describe_conventions() -> str:
    codes = "\n".join(f"- `{code}`: {meaning}" for code, meaning in CODES.items())
    types = "\n".join(f"- `{name}`: `{model.__name__}`" for name, model in PAYLOADS.items())
    return f"Learning roadmaps.\n\n## Problem codes\n\n{codes}\n\n## Events and their payloads\n\n{types}"
