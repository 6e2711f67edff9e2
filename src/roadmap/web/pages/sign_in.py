"""Signing in and out."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from roadmap.accounts import sign_in as signing
from roadmap.errors import Forbidden, Refused, TooMany, Unauthorized
from roadmap.web.hosts import check_origin
from roadmap.web.pages.access import (
    SIGN_IN,
    Form,
    Visitor,
    clear_session,
    client_address,
    find_device,
    find_visitor,
    read_form,
    require_kept_cookies,
    safe_next,
    set_session,
)
from roadmap.web.pages.rendering import page_answer
from roadmap.web.state import WebState

__all__ = ["show_sign_in", "sign_in", "sign_out"]

TEMPLATE = "sign_in.html"


async def show_sign_in(request: Request) -> Response:
    """The form; whoever is signed in goes on at once."""
    wanted = safe_next(request.query_params.get("next"))
    if await find_visitor(request) is not None:
        return RedirectResponse(wanted, 303)
    return page_answer(TEMPLATE, _values(wanted))


async def sign_in(request: Request) -> Response:
    """A new session, with an id of its own. It has no CSRF token before: the form's origin is looked at."""
    state: WebState = request.state.web
    check_origin(request)
    form = await read_form(request)
    wanted = safe_next(str(form.get("next", "")))
    if state.local_user is not None:
        return RedirectResponse(wanted, 303)
    email, password = str(form.get("email", "")), str(form.get("password", ""))
    address, device = client_address(request), find_device(request)
    try:
        require_kept_cookies(request)
        account = await signing.sign_in(state.runtime.db, state.passwords, email, password, address, device)
    except (Forbidden, Unauthorized, TooMany) as exc:
        return _refused(exc, _values(wanted, email[:254], str(exc)))
    state.roster.forget(account.user_id)
    answer = RedirectResponse(wanted, 303)
    set_session(request, answer, account)
    return answer


async def sign_out(request: Request, visitor: Visitor, _form: Form) -> Response:
    """On every device: a copy of the cookie is worth nothing from now on."""
    state: WebState = request.state.web
    if visitor.is_local:
        return RedirectResponse("/monitor", 303)
    await signing.sign_out(state.runtime.db, visitor.actor)
    state.roster.forget(visitor.user_id)
    answer = RedirectResponse(SIGN_IN, 303)
    clear_session(request, answer)
    return answer


def _refused(exc: Refused, values: dict[str, Any]) -> Response:
    answer = page_answer(TEMPLATE, values, exc.status)
    if isinstance(exc, TooMany):
        answer.headers["Retry-After"] = str(max(1, round(exc.retry_in)))
    return answer


def _values(wanted: str, email: str = "", fault: str | None = None) -> dict[str, Any]:
    return {"wanted": wanted, "email": email, "fault": fault}
