"""Parameters, ids, paths and methods that cannot be taken: each gets a problem that says what to do."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from inside import Api
from problem_checks import check_problem

from roadmap.api.operation import NoBody
from roadmap.ids import Prefix, new_id, show_id
from roadmap.web.routes import OPERATIONS

GOAL = {"goal": "Learn SQL"}
UNKNOWN = f"/v1/roadmaps/{show_id(Prefix.ROADMAP, new_id())}"
QUERIES = {
    "an unknown parameter": ("/v1/roadmaps", "colour=red", "colour"),
    "an unknown parameter where there are none": (UNKNOWN, "colour=red", "colour"),
    "an unknown parameter on a POST": ("/v1/roadmaps", "colour=red", "colour"),
    "a parameter twice": ("/v1/roadmaps", "limit=1&limit=2", "limit"),
    "limit 0": ("/v1/roadmaps", "limit=0", "limit"),
    "limit 101": ("/v1/roadmaps", "limit=101", "limit"),
    "limit of words": ("/v1/roadmaps", "limit=many", "limit"),
    "limit with an underscore": ("/v1/roadmaps", "limit=1_0", "limit"),
    "limit as a float": ("/v1/roadmaps", "limit=1.0", "limit"),
    "limit of nothing": ("/v1/roadmaps", "limit=", "limit"),
    "limit in other digits": ("/v1/roadmaps", "limit=%D9%A1", "limit"),
    "a huge limit": ("/v1/roadmaps", "limit=" + "9" * 5_000, "limit"),
    "q of nothing": ("/v1/roadmaps", "q=", "q"),
    "q with a null character": ("/v1/roadmaps", "q=a%00b", "q"),
    "q of 201 characters": ("/v1/roadmaps", "q=" + "x" * 201, "q"),
    "status with a null character": ("/v1/roadmaps", "status=a%00", "status"),
    "created_after of words": ("/v1/roadmaps", "created_after=yesterday", "created_after"),
    "created_after as a number": ("/v1/roadmaps", "created_after=1", "created_after"),
    "created_after without a time zone": ("/v1/roadmaps", "created_after=2026-01-01T00:00:00", "created_after"),
    "created_after beyond the calendar": ("/v1/roadmaps", "created_after=9999-12-31T23:59:59-12:00", "created_after"),
    "a cursor of garbage": ("/v1/roadmaps", "after=garbage", "after"),
    "a cursor with a null character": ("/v1/roadmaps", "after=%00", "after"),
    "a cursor that is not ASCII": ("/v1/roadmaps", "after=%E4%BD%A0", "after"),
    "a cursor of another list": ("/v1/roadmaps", "after=" + "A" * 32, "after"),
    "a cursor with something behind it": ("/v1/roadmaps", "after=" + "A" * 22 + "%00", "after"),
    "a log cursor of garbage": (UNKNOWN + "/log", "after=garbage", "after"),
    "a log cursor beyond the calendar": (UNKNOWN + "/log", "after=f" + "_" * 31, "after"),
    "a level that is none": (UNKNOWN + "/log", "level=loud", "level"),
    "step with a null character": (UNKNOWN + "/log", "step=%00", "step"),
    "concept with a null character": (UNKNOWN + "/log", "concept=%00", "concept"),
    "concept that is no id": (UNKNOWN + "/log", "concept=loops", "concept"),
    "log q with a null character": (UNKNOWN + "/log", "q=%00", "q"),
    "after of words": (UNKNOWN + "/events", "after=last", "after"),
    "after -1": (UNKNOWN + "/events", "after=-1", "after"),
    "after 2^63": (UNKNOWN + "/events", f"after={2**63}", "after"),
    "version 0": (UNKNOWN + "/concepts/x/quiz", "version=0", "version"),
    "version of words": (UNKNOWN + "/concepts/x/quiz", "version=latest", "version"),
}


@pytest.mark.parametrize(("path", "query", "name"), QUERIES.values(), ids=QUERIES.keys())
async def test_a_parameter_that_cannot_be_taken_is_named(
    api: Api, request: pytest.FixtureRequest, path: str, query: str, name: str
) -> None:
    post = "POST" in request.node.name
    answer = await api.alice.request("POST" if post else "GET", f"{path}?{query}", json=GOAL if post else None)
    problem = check_problem(answer, 422, "invalid")
    assert [fault["pointer"] for fault in problem["errors"]] == [name]


async def test_many_parameters_cost_no_time(api: Api) -> None:
    began = datetime.now(UTC)
    answer = await api.alice.get("/v1/roadmaps?" + "&".join(f"p{n}=1" for n in range(7_000)))
    check_problem(answer, 422, "invalid")
    assert datetime.now(UTC) - began < timedelta(seconds=2)


async def test_a_text_with_signs_of_sql_is_just_looked_for(api: Api) -> None:
    for text in ("%", "_", "\\", "'; DROP TABLE users; --", "%25"):
        answer = await api.alice.get("/v1/roadmaps", params={"q": text})
        assert (answer.status_code, answer.json()["data"]) == (200, [])


IDS = [
    "x",
    "rm_",
    "rm_" + "0" * 31,
    "rm_" + "0" * 32,
    "rm_" + "G" * 32,
    "run_" + "0" * 32,
    "%00",
    "%ff",
    "%2e%2e",
    "rm_%F0%9F%98%80",
    "x" * 5_000,
]


@pytest.mark.parametrize("text", IDS)
async def test_an_id_that_names_nothing_is_not_found(api: Api, text: str) -> None:
    for operation in OPERATIONS:
        if "{" in operation.path and not operation.operator:
            path = re.sub(r"{\w+}", text, operation.path)
            body = None if operation.body is NoBody else {}
            check_problem(await api.alice.request(operation.method, path, json=body), 404, "not_found")


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v2/roadmaps", "/v1/roadmaps/", "/health/", "/v1//roadmaps", "/docs.php"]
)
async def test_an_unknown_path_is_not_found(api: Api, path: str) -> None:
    check_problem(await api.alice.get(path), 404, "not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_a_wrong_method_is_told_every_right_one(api: Api, method: str) -> None:
    answer = await api.alice.request(method, "/v1/roadmaps")
    check_problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
