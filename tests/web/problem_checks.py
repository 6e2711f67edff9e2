"""What every problem must be."""

import re
from typing import Any

import httpx

from roadmap.api.problems import CODES

__all__ = ["check_problem"]

# What must not get out: our files, our frames, our SQL, our libraries.
LEAKS = re.compile(
    r"Traceback|\.py\b|asyncpg|pydantic|orjson\.|SELECT |INSERT |FROM \w+ WHERE|postgresql://", re.IGNORECASE
)


def check_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer is a whole problem of this status and code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert code in CODES
    assert problem["type"].endswith(code)
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert all(fault["code"] and fault["detail"] for fault in problem["errors"])
    assert not LEAKS.search(answer.text), answer.text
    return problem
