"""The JSON schema of an answer, in the subset that strict providers accept."""

from functools import cache
from typing import Any

from pydantic import BaseModel

__all__ = ["strict_schema"]

# Keywords that strict providers refuse or that say nothing to a model; pydantic checks the limits anyway.
_DROPPED = {"title", "default", "examples", "discriminator", "minLength", "maxLength", "uniqueItems"}
_NAMED = {"properties", "$defs"}


@cache
def strict_schema(answer: type[BaseModel]) -> dict[str, Any]:
    """Every object closed, every property required, references put in place. Not to be changed by the caller.

    Raises TypeError for a type that contains itself.
    """
    schema = answer.model_json_schema()
    definitions = schema.pop("$defs", {})
    strict = _strict(schema, definitions, ())
    assert isinstance(strict, dict)  # noqa: S101 - narrows the type
    return strict


def _strict(part: Any, definitions: dict[str, Any], inside: tuple[str, ...]) -> Any:
    if isinstance(part, list):
        return [_strict(item, definitions, inside) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(part, definitions, inside)
    kept = {
        _renamed(key): _value(key, value, definitions, inside) for key, value in part.items() if key not in _DROPPED
    }
    if "properties" in kept:
        kept |= {"additionalProperties": False, "required": list(kept["properties"])}
    return kept


def _renamed(key: str) -> str:
    return "anyOf" if key == "oneOf" else key


def _value(key: str, value: Any, definitions: dict[str, Any], inside: tuple[str, ...]) -> Any:
    # Below these keywords stand names of ours, which may be spelled like a keyword.
    if key in _NAMED:
        return {name: _strict(item, definitions, inside) for name, item in value.items()}
    return _strict(value, definitions, inside)


def _inlined(part: dict[str, Any], definitions: dict[str, Any], inside: tuple[str, ...]) -> Any:
    name = part["$ref"].rpartition("/")[2]
    if name in inside:
        raise TypeError(f"an answer must not contain itself: {name}")
    siblings = {key: value for key, value in part.items() if key != "$ref"}
    return _strict({**definitions[name], **siblings}, definitions, (*inside, name))
