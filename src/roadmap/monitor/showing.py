"""Views as JSON. What the OpenAPI document says of them comes from the same dataclasses."""

from dataclasses import fields, is_dataclass
from datetime import date, datetime
from typing import Any

from roadmap.api.answers import JSONAnswer, utc
from roadmap.api.operation import Call
from roadmap.monitor.looks import Looks

__all__ = ["answer", "looks_of", "show"]


def looks_of(call: Call[Any, Any]) -> Looks:
    looks: Looks = call.request.state.looks
    return looks


def answer(view: object) -> JSONAnswer:
    return JSONAnswer(show(view))


def show(value: Any) -> Any:
    """Plain values, times as everywhere at the API. Seconds and shares keep as many digits as they mean."""
    match value:
        case list() | tuple():
            return [show(one) for one in value]
        case dict():
            return {name: show(one) for name, one in value.items()}
        case _ if is_dataclass(value):
            return {field.name: show(getattr(value, field.name)) for field in fields(value)}
        case _:
            return _show_plain(value)


def _show_plain(value: Any) -> Any:
    match value:
        case datetime():
            return utc(value)
        case date():
            return value.isoformat()
        case float():
            return round(value, 6)
        case _:
            return value
