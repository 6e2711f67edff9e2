"""What pydantic found, as faults that say what to do."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from roadmap.errors import Fault

__all__ = ["MOST", "faults_of", "summary_of"]

# A hostile body can hold ten thousand faults; nobody reads them.
MOST = 20

ADVICE = {
    "missing": "add it: it is required",
    "int_type": "give a whole number",
    "int_from_float": "give a whole number",
    "int_parsing": "give a whole number",
    "int_parsing_size": "give a smaller number",
    "string_type": "give a text",
    "string_too_short": "give at least {min_length} characters",
    "string_too_long": "give at most {max_length} characters",
    "string_pattern_mismatch": "give a text of the form {pattern}",
    "greater_than_equal": "give {ge} or more",
    "less_than_equal": "give {le} or less",
    "enum": "give {expected}",
    "tuple_type": "give a list",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
    "date_type": "give a day as YYYY-MM-DD",
    "date_parsing": "give a day as YYYY-MM-DD",
    "date_from_datetime_parsing": "give a day as YYYY-MM-DD",
    "datetime_type": "give a time as YYYY-MM-DDThh:mm:ssZ",
    "datetime_parsing": "give a time as YYYY-MM-DDThh:mm:ssZ",
    "datetime_from_date_parsing": "give a time as YYYY-MM-DDThh:mm:ssZ",
    "timezone_aware": "add the time zone: Z for UTC",
    "model_type": "give a JSON object",
}


def faults_of(exc: ValidationError, model: type[BaseModel], root: str) -> list[Fault]:
    """The first faults. `root` is `/` for a body, whose places are JSON pointers, and empty for parameters."""
    errors = exc.errors(include_url=False, include_input=False)
    return [_fault(error, model, root) for error in errors[:MOST]]


def summary_of(faults: list[Fault]) -> str:
    where = ", ".join(dict.fromkeys(fault.pointer or "the body" for fault in faults[:5]))
    return f"cannot accept {where}; see `errors`"


def _fault(error: ErrorDetails, model: type[BaseModel], root: str) -> Fault:
    path = "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in error["loc"])
    return Fault(root + path if path else "", error["type"], _advice(error, model))


def _advice(error: ErrorDetails, model: type[BaseModel]) -> str:
    if error["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        return f"leave it out; what is known here: {known}" if known else "leave it out: nothing is taken here"
    context: Mapping[str, Any] = error.get("ctx", {})
    advice = ADVICE.get(error["type"])
    return advice.format_map(context) if advice else error["msg"].removeprefix("Value error, ")
