"""Values that requests bring: what PostgreSQL cannot hold or a caller cannot mean is refused at the door."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from pydantic.config import JsonDict

__all__ = ["PLAIN_FORM", "Day", "Digits", "Moment", "Plain", "Whole"]

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DIGITS = re.compile(r"\d{1,19}", re.ASCII)
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def _plain(text: str) -> str:
    """PostgreSQL stores no null character, and UTF-8 has no lone surrogates."""
    if "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("leave out null characters and lone surrogates")
    return text


def _written_day(value: Any) -> Any:
    """Only as RFC 3339 writes a day: pydantic would also take numbers and midnights."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("give a day as YYYY-MM-DD")
    return value


def _written_moment(value: Any) -> Any:
    """Not as a number: `1` would be a second of 1970."""
    if isinstance(value, str) and value[4:5] != "-":
        raise ValueError("give a time as YYYY-MM-DDThh:mm:ssZ")
    return value


def _in_range(moment: datetime) -> datetime:
    """Far away, the time zone alone leads out of the calendar."""
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("give a time between 1970 and 9999") from exc
    return max(moment, _EARLIEST)


def _digits(value: Any) -> Any:
    """A parameter's number is its digits: pydantic would also take `1_0`, ` 1` and `1.0`."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("give a whole number, in digits")
    return value


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 5.0 is the whole number 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# A text that can be stored and looked for, and what the OpenAPI document says of it.
Plain = AfterValidator(_plain)
PLAIN_FORM: JsonDict = {"pattern": r"^[^\x00]*$"}
# A whole number in a query. Stands behind the bounds: in front of them it would hide them from the JSON schema.
Digits = BeforeValidator(_digits)
# A whole number in a body, for a strict int.
Whole = BeforeValidator(_whole)
Day = Annotated[date, BeforeValidator(_written_day)]
Moment = Annotated[AwareDatetime, BeforeValidator(_written_moment), AfterValidator(_in_range)]
