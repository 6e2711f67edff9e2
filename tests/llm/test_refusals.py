"""What a provider's status and headers mean, without a network."""

from datetime import UTC, datetime

import pytest

from roadmap.errors import Outage, Unusable
from roadmap.llm.refusals import failure, reason, retry_after

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 1),
        ({"retry-after": "86400"}, 300),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "1500", "retry-after": "60"}, 1.5),
        ({"retry-after-ms": "20"}, 1),
        ({"retry-after-ms": "inf", "retry-after": "4"}, 4),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 -0000"}, 30),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 1),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:00 GMT"}, 300),
        ({"retry-after": "Sat, 99 Nov 2026 12:00:00 GMT"}, None),
    ],
)
def test_the_pause_is_read_in_all_its_forms_and_is_bounded(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_trouble_that_passes_is_an_outage_with_a_bounded_pause(status: int) -> None:
    error = failure(status, {}, NOW)

    assert isinstance(error, Outage)
    assert 2 <= error.retry_in <= 20


def test_a_busy_provider_says_when_to_come_back() -> None:
    errors = [failure(status, {"retry-after": "42"}, NOW) for status in (429, 503)]

    assert [error.retry_in for error in errors if isinstance(error, Outage)] == [42, 42]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "provider_refused_key"),
        (403, "provider_refused_key"),
        (404, "provider_unknown_model"),
        (301, "provider_refused"),
        (400, "provider_refused"),
        (402, "provider_refused"),
        (413, "provider_refused"),
        (422, "provider_refused"),
    ],
)
def test_what_waiting_does_not_change_is_a_typed_failure(status: int, code: str) -> None:
    error = failure(status, {"retry-after": "42"}, NOW)

    assert isinstance(error, Unusable)
    assert error.code == code


def test_only_a_short_code_of_the_providers_error_reaches_diagnostics() -> None:
    assert reason('{"error":{"message":"Incorrect key sk-1","type":"auth","code":"invalid_api_key"}}') == "auth"
    assert reason('{"code": "a sentence that quotes the prompt"}') is None
    assert reason("<html>") is None
