"""From a completion to a typed answer or clean Markdown, or to a complaint that the model can act on."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from roadmap.errors import Unusable
from roadmap.llm.extraction import clean, clean_text, find_values, split_thoughts
from roadmap.llm.model import Completion

__all__ = ["Wrong", "read_answer", "read_markdown"]

T = TypeVar("T", bound=BaseModel)

_LONGEST = 1_000_000
_COMPLAINTS = 20
_COMPLAINT_LENGTH = 300
_WRAPPINGS = 3

_FENCED = re.compile(r"\A(`{3,})(markdown|md|)[ \t]*\n(.*)\n\1[ \t]*\Z", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^ {0,3}`{3,}(.*)$", re.MULTILINE)


class Wrong(Unusable):
    """An answer that the model may mend: `complaints` are for it, `detail` is for people, `said` is the answer."""

    said = ""

    def __init__(self, code: str, detail: str, complaints: Sequence[str]) -> None:
        super().__init__(code, detail)
        self.complaints = [complaint[:_COMPLAINT_LENGTH] for complaint in complaints[:_COMPLAINTS]]


def read_answer(completion: Completion, answer: type[T], check: Callable[[T], Sequence[str]]) -> T:
    """Raises Wrong, or Unusable when another round is pointless (refused, above 1 MB)."""
    _refuse_unfinished(completion)
    value = _first_valid(completion.text, answer)
    complaints = check(value)
    if complaints:
        raise Wrong("model_rules", "the model's answer breaks a rule", complaints)
    return value


def read_markdown(completion: Completion) -> str:
    """Plain text without thoughts and without a fence around all of it. Raises as `read_answer` does."""
    _refuse_unfinished(completion)
    spoken, _ = split_thoughts(clean_text(completion.text))
    text = _unfenced(spoken.strip()).strip()
    if not text:
        raise Wrong("model_empty", "the model answered nothing", ["The answer is empty."])
    return text


def _refuse_unfinished(completion: Completion) -> None:
    if completion.refused:
        raise Unusable("model_refused", "the model refused to answer")
    if len(completion.text) > _LONGEST:
        raise Unusable("model_too_long", "the model's answer has more than a million characters")
    if completion.finish_reason == "length":
        complaint = "The answer was cut off at its limit: it must be much shorter, and complete."
        raise Wrong("model_truncated", "the model's answer was cut off", [complaint])
    if not completion.text.strip():
        raise Wrong("model_empty", "the model answered nothing", ["The answer is empty."])


def _first_valid(text: str, answer: type[T]) -> T:
    complaints: list[str] | None = None
    for found in find_values(text):
        for value in _unwrapped(found):
            if not _may_be(value, answer):
                continue
            try:
                return _validate(value, answer)
            except ValidationError as exc:
                complaints = complaints or _complaints(exc)
    raise Wrong(
        "model_malformed",
        "the model's answer does not have the form that was asked for",
        complaints or ["There is no complete JSON object of the form that was asked for."],
    )


def _unwrapped(value: Any) -> Iterator[Any]:
    """The value, and what is in it when it is a list of one, an object of one key, or JSON inside a string."""
    yield value
    for _ in range(_WRAPPINGS):
        if isinstance(value, str):
            value = next(find_values(value), None)
        elif isinstance(value, list | dict) and len(value) == 1:
            value = next(iter(value.values() if isinstance(value, dict) else value))
        else:
            return
        yield value


def _may_be(value: Any, answer: type[BaseModel]) -> bool:
    """Whether an object has any key of the answer: one with defaults everywhere would accept a stranger."""
    if not isinstance(value, dict):
        return False
    names = {name for key, field in answer.model_fields.items() for name in (key, field.alias)}
    return not names.isdisjoint(value)


def _validate(value: Any, answer: type[T]) -> T:
    # By way of JSON: a strict model then takes the strings of its enums and dates.
    valid = answer.model_validate_json(to_json(value))
    try:
        clean(valid.model_dump())
    except ValueError as exc:
        # pydantic reads the string "NaN" as a number where a float is asked for.
        raise ValidationError.from_exception_data(answer.__name__, [{"type": "finite_number", "input": None}]) from exc
    return valid


def _complaints(error: ValidationError) -> list[str]:
    faults = error.errors(include_url=False, include_context=False, include_input=False)[:_COMPLAINTS]
    return [f"{'.'.join(map(str, fault['loc'])) or 'the object'}: {fault['msg']}" for fault in faults]


def _unfenced(text: str) -> str:
    found = _FENCED.match(text)
    if found is None:
        return text
    inner = _FENCE.findall(found[3])
    # Two code blocks with text between them also start and end with a fence; then the first inner fence is a closing
    # one, which never names a language.
    if len(inner) % 2 or (inner and not found[2] and not inner[0].strip()):
        return text
    return found[3]
