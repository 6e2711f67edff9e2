"""Bodies that cannot be taken: each gets a problem that says what to do, never a 500."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from inside import Api
from problem_checks import check_problem

from roadmap.ids import Prefix, new_id, show_id

GOAL = {"goal": "Learn SQL"}
JSON = {"content-type": "application/json"}
TODAY = datetime.now(UTC).date()
BODIES = {
    "no body": (b"", 400, "malformed_json"),
    "broken JSON": (b'{"goal": ', 400, "malformed_json"),
    "two values": (b'{"goal": "Learn SQL"} {}', 400, "malformed_json"),
    "NaN": (b'{"goal": "Learn SQL", "hours_per_week": NaN}', 400, "malformed_json"),
    "bytes that are no UTF-8": (b'{"goal": "\xff\xfe\xfd"}', 400, "malformed_json"),
    "a lone surrogate": (b'{"goal": "Learn \\ud800 SQL"}', 400, "malformed_json"),
    "a lone surrogate as a name": (b'{"goal": "Learn SQL", "\\ud800": 1}', 400, "malformed_json"),
    "100,000 brackets": (b"[" * 100_000, 400, "malformed_json"),
    "100,000 brackets that are closed": (b"[" * 100_000 + b"]" * 100_000, 400, "malformed_json"),
    "a list": (b"[]", 422, "invalid"),
    "null": (b"null", 422, "invalid"),
    "a text": (b'"Learn SQL"', 422, "invalid"),
    "nothing in it": (b"{}", 422, "invalid"),
    "a huge number": (b'{"goal": "Learn SQL", "hours_per_week": 1' + b"0" * 200 + b"}", 422, "invalid"),
    "a number beyond floats": (b'{"goal": "Learn SQL", "hours_per_week": 1e999}', 400, "malformed_json"),
    "ten thousand unknown fields": (
        b'{"goal": "Learn SQL", ' + b", ".join(b'"f%d": 1' % n for n in range(10_000)) + b"}",
        422,
        "invalid",
    ),
    "3 MB": (b'{"goal": "' + b"x" * 3_000_000 + b'"}', 413, "too_large"),
}


@pytest.mark.parametrize(("content", "status", "code"), BODIES.values(), ids=BODIES.keys())
async def test_a_body_that_cannot_be_read_is_refused(api: Api, content: bytes, status: int, code: str) -> None:
    answer = await api.alice.post("/v1/roadmaps", content=content, headers=JSON)
    problem = check_problem(answer, status, code)
    assert len(problem["errors"]) <= 20


async def test_a_body_without_a_length_is_counted_while_it_comes(api: Api) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(300):
            sent += 1
            yield b"x" * 10_000

    answer = await api.alice.post("/v1/roadmaps", content=chunks(), headers=JSON)
    check_problem(answer, 413, "too_large")
    assert sent < 100


FIELDS: dict[str, tuple[str, Any, str]] = {
    "goal of 2 characters": ("goal", "ab", "at least 3"),
    "goal of spaces": ("goal", "       ", "at least 3"),
    "goal of 2,001 characters": ("goal", "x" * 2_001, "at most 2000"),
    "goal as a number": ("goal", 17, "text"),
    "goal as null": ("goal", None, "text"),
    "goal with a null character": ("goal", "Learn\x00SQL", "null characters"),
    "background with a null character": ("background", "I know \x00", "null characters"),
    "motivation with a null character": ("motivation", "\x00\x00", "null characters"),
    "language with a null character": ("language", "en\x00", "form"),
    "language that is none": ("language", "klingon-from-space", "form"),
    "language with a line break": ("language", "en\n", "form"),
    "level with a null character": ("level", "beginner\x00", "'beginner'"),
    "level that is none": ("level", "wizard", "'beginner'"),
    "size that is none": ("size", "enormous", "'small'"),
    "size as null": ("size", None, "'small'"),
    "0 hours": ("hours_per_week", 0, "1 or more"),
    "169 hours": ("hours_per_week", 169, "168 or less"),
    "-1 hours": ("hours_per_week", -1, "1 or more"),
    "hours as a text": ("hours_per_week", "5", "whole number"),
    "hours as a float": ("hours_per_week", 5.5, "whole number"),
    "hours as a truth": ("hours_per_week", True, "whole number"),
    "deadline yesterday": ("deadline", str(TODAY - timedelta(days=1)), "in the future"),
    "deadline today": ("deadline", str(TODAY), "in the future"),
    "deadline of words": ("deadline", "next summer", "YYYY-MM-DD"),
    "deadline that no calendar has": ("deadline", "2999-02-30", "YYYY-MM-DD"),
    "deadline as a number": ("deadline", 32_503_680_000, "YYYY-MM-DD"),
    "deadline as a time": ("deadline", "2999-01-01T00:00:00Z", "YYYY-MM-DD"),
    "deadline with a null character": ("deadline", "2999-01-01\x00", "YYYY-MM-DD"),
    "deadline in other digits": ("deadline", "２９９９-01-01", "YYYY-MM-DD"),
    "no kinds": ("kinds", [], "at least 1"),
    "kinds twice": ("kinds", ["quiz", "quiz"], "once"),
    "kinds as a text": ("kinds", "quiz", "list"),
    "kinds as an object": ("kinds", {"quiz": True}, "list"),
    "kinds that are none": ("kinds/0", ["poem"], "'tutorial'"),
    "formats twice": ("formats", ["text", "text"], "once"),
    "an unknown field": ("webhook", "https://example.org", "leave it out"),
    "an unknown field with a slash": ("a~1b", None, "leave it out"),
}


@pytest.mark.parametrize(("pointer", "value", "advice"), FIELDS.values(), ids=FIELDS.keys())
async def test_a_field_that_cannot_be_taken_is_named_with_advice(
    api: Api, pointer: str, value: Any, advice: str
) -> None:
    name = pointer.replace("~1", "/") if "~" in pointer else pointer.partition("/")[0]
    answer = await api.alice.post("/v1/roadmaps", json={**GOAL, name: value})
    problem = check_problem(answer, 422, "invalid")
    assert problem["errors"][0]["pointer"] == f"/{pointer}"
    assert {fault["pointer"] for fault in problem["errors"]} <= {f"/{pointer}", f"/{name}"}
    assert advice in problem["errors"][0]["detail"]


async def test_a_whole_number_may_be_written_with_a_point(api: Api) -> None:
    answer = await api.alice.post("/v1/roadmaps", json={**GOAL, "hours_per_week": 5.0})
    assert answer.status_code == 202


async def test_a_missing_field_is_named(api: Api) -> None:
    problem = check_problem(await api.alice.post("/v1/roadmaps", json={"size": "small"}), 422, "invalid")
    assert problem["errors"] == [{"pointer": "/goal", "code": "missing", "detail": "add it: it is required"}]


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonp"]
)
async def test_a_body_of_another_media_type_is_refused(api: Api, media_type: str) -> None:
    answer = await api.alice.post(
        "/v1/roadmaps", content=b'{"goal": "Learn SQL"}', headers={"content-type": media_type}
    )
    problem = check_problem(answer, 415, "unsupported_media_type")
    assert "application/json" in problem["detail"]


async def test_a_body_without_a_media_type_is_refused(api: Api) -> None:
    check_problem(await api.alice.post("/v1/roadmaps", content=b'{"goal": "Learn SQL"}'), 415, "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_the_media_type_may_be_written_otherwise(api: Api, media_type: str) -> None:
    answer = await api.alice.post(
        "/v1/roadmaps", content=b'{"goal": "Learn SQL"}', headers={"content-type": media_type}
    )
    assert answer.status_code == 202


async def test_a_body_where_none_is_taken_is_refused(api: Api) -> None:
    answer = await api.alice.post(f"/v1/runs/{show_id(Prefix.RUN, new_id())}/cancel", json={"why": "I am bored"})
    check_problem(answer, 422, "invalid")
