"""What went wrong, as a page for people; programs get problems (RFC 9457)."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import HTMLResponse, Response

from roadmap.api.problems import Problem, problem_answer
from roadmap.web.pages.rendering import page_answer

__all__ = ["tell_problem"]

TITLES = {
    401: "Sign in first",
    403: "This is not for you",
    404: "Nothing is here",
    405: "That cannot be done here",
    429: "Too much at once",
    500: "A fault of ours",
    503: "The service cannot answer just now",
}
# What a problem's text says to programs, people are told in other words; by its code, or else by its status.
TEXTS: dict[int | str, str] = {
    "overloaded": "Too many ask at once. Nothing is lost: try again in a moment.",
    404: "The address is wrong, or what it named is gone.",
    500: "It has been recorded under the request's id, with its cause.",
    503: "What the pages are made of is away. Nothing is lost: try again in a moment.",
}


def tell_problem(problem: Problem, scope: Mapping[str, Any]) -> Response:
    """Programs get a problem, and whoever looks at a page gets a page."""
    return _page(problem, scope) if _is_page(scope["path"]) else problem_answer(problem, scope)


def _is_page(path: str) -> bool:
    return path == "/monitor" or path.startswith("/monitor/")


def _page(problem: Problem, scope: Mapping[str, Any]) -> HTMLResponse:
    text = TEXTS.get(problem.code) or TEXTS.get(problem.status)
    values = {
        "title": TITLES.get(problem.status, "This cannot be done"),
        "text": text or problem.detail[:1].upper() + problem.detail[1:] + ".",
        "request_id": scope.get("request_id", ""),
    }
    answer = page_answer("problem.html", values, problem.status)
    answer.headers.update(problem.headers)
    return answer
