"""Who may see a page and send its forms."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote
from uuid import UUID

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from roadmap.accounts.keys import LOCAL_EMAIL
from roadmap.accounts.limits import digest_of
from roadmap.accounts.model import Account, Role
from roadmap.accounts.sessions import KNOWN_FOR, LASTS, Device, Session
from roadmap.audit.model import Actor
from roadmap.errors import Forbidden, Invalid, Unauthorized
from roadmap.settings import Environment
from roadmap.web.hosts import check_origin, is_sent_in_the_clear, require_local_host
from roadmap.web.state import WebState

__all__ = [
    "SIGN_IN",
    "Form",
    "Page",
    "PageEndpoint",
    "Visitor",
    "check_csrf",
    "clear_session",
    "find_device",
    "find_visitor",
    "is_secure",
    "page_handler",
    "read_form",
    "require",
    "require_kept_cookies",
    "safe_next",
    "set_session",
]

HOME = "/monitor"
SIGN_IN = "/monitor/sign-in"
FORM_TYPE = "application/x-www-form-urlencoded"
MOST_FIELDS = 1_000
LOCAL_SESSION = "local"
SESSION, DEVICE = "roadmap", "roadmap-device"  # cookies
HSTS = "max-age=31536000"
_NEXT = re.compile(r"/monitor(?:/[\w~-][\w.~-]*)*(?:\?[\w.~%&=+:,-]*)?", re.ASCII)

Form = ImmutableMultiDict[str, str]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page. `csrf` goes into each of its forms, as the field `csrf`."""

    user_id: UUID
    email: str
    role: Role
    csrf: str
    address: str | None
    session_id: str

    @property
    def actor(self) -> Actor:
        """For the audit log."""
        return Actor(self.email, self.user_id, self.address)

    @property
    def is_local(self) -> bool:
        """Who needed no password, and so cannot sign out."""
        return self.session_id == LOCAL_SESSION

    @property
    def operates(self) -> bool:
        return self.role.allows(Role.OPERATOR)


PageEndpoint = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Page:
    """A method on a path, who answers it, and who may ask.

    A GET endpoint gets `(request, visitor)`, a POST endpoint `(request, visitor, form)`, its CSRF token checked. `role`
    None: anybody, and the endpoint gets the request alone.
    """

    method: str
    path: str
    endpoint: PageEndpoint
    role: Role | None = Role.VIEWER


def page_handler(page: Page) -> Callable[[Request], Awaitable[Response]]:
    """The Starlette endpoint of a page: nobody gets past it who may not."""

    async def handle(request: Request) -> Response:
        answer = await answer_page(request)
        if _is_production(request) and request.url.scheme == "https":
            answer.headers["Strict-Transport-Security"] = HSTS
        return answer

    async def answer_page(request: Request) -> Response:
        if page.role is None:
            return await page.endpoint(request)
        try:
            visitor = await require(request, page.role)
        except Unauthorized:
            if not _is_looked_at(request):
                raise
            return RedirectResponse(_sign_in_address(request), 303)
        if page.method != "POST":
            return await page.endpoint(request, visitor)
        form = await read_form(request)
        check_csrf(request, visitor, form)
        return await page.endpoint(request, visitor, form)

    return handle


async def require(request: Request, role: Role) -> Visitor:
    """Who asks. Raises Unauthorized for who has no session, Forbidden for who may not."""
    visitor = await find_visitor(request)
    if visitor is None:
        raise Unauthorized("sign in at /monitor/sign-in")
    if not visitor.role.allows(role):
        raise Forbidden(f"only an {role} may do this" if role is Role.OPERATOR else f"only a {role} may see this")
    return visitor


async def find_visitor(request: Request) -> Visitor | None:
    """Whose session it is; the local operator, who needs none, of a machine with AUTH_MODE=none."""
    state = _state(request)
    address = client_address(request)
    if state.local_user is not None:
        require_local_host(request, state.runtime.settings.host)
        csrf = state.sessions.csrf(LOCAL_SESSION)
        return Visitor(state.local_user, LOCAL_EMAIL, Role.OPERATOR, csrf, address, LOCAL_SESSION)
    session = state.sessions.read(request.cookies.get(_cookie_name(request, SESSION), ""))
    account = await state.roster.account(state.runtime.db, session) if session else None
    if session is None or account is None or not account.role.allows(Role.VIEWER):
        return None
    csrf = state.sessions.csrf(session.id)
    return Visitor(account.user_id, account.email, account.role, csrf, address, session.id)


async def read_form(request: Request) -> Form:
    """Raises Invalid for what no form of ours sends. The body's length is limited by the middleware."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise Invalid("send the form as application/x-www-form-urlencoded", status=415, code="unsupported_media_type")
    try:
        text = (await request.body()).decode("ascii")
        return ImmutableMultiDict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError as exc:
        raise Invalid("this form cannot be read", status=400) from exc


def check_csrf(request: Request, visitor: Visitor, form: Form) -> None:
    """Raises Forbidden unless the form came from a page of this visitor's session."""
    check_origin(request)
    if not _state(request).sessions.is_csrf(visitor.session_id, str(form.get("csrf", ""))):
        raise Forbidden("this form is not of your session: load the page again, and send it from there")


def safe_next(text: str | None) -> str:
    """Where to go after signing in: a page of the monitor, whatever the address said."""
    if text and len(text) < 500 and _NEXT.fullmatch(text) and not text.startswith((SIGN_IN, "/monitor/sign-out")):
        return text
    return HOME


def require_kept_cookies(request: Request) -> None:
    """Raises Forbidden where the browser would drop the session that it is given, and show the form again."""
    if is_secure(request) and is_sent_in_the_clear(request):
        raise Forbidden(
            "over plain HTTP this browser keeps no session: open the monitor with https"
            " (at home, without TLS: ENVIRONMENT=development)"
        )


def set_session(request: Request, response: Response, account: Account) -> None:
    """And the cookie by which this browser is known when the session has ended."""
    keys = _state(request).sessions
    _set_cookie(request, response, SESSION, keys.sign(Session.begin(account)), LASTS)
    _set_cookie(request, response, DEVICE, keys.sign_device(Device.begin(digest_of(account.email))), KNOWN_FOR)


def _set_cookie(request: Request, response: Response, name: str, value: str, lasts: int) -> None:
    secure = is_secure(request)
    response.set_cookie(
        _cookie_name(request, name), value, lasts, path="/", secure=secure, httponly=True, samesite="lax"
    )


def find_device(request: Request) -> Device | None:
    """None when nobody has signed in from this browser before, as far as we know."""
    return _state(request).sessions.read_device(request.cookies.get(_cookie_name(request, DEVICE), ""))


def clear_session(request: Request, response: Response) -> None:
    secure = is_secure(request)
    response.delete_cookie(_cookie_name(request, SESSION), path="/", secure=secure, httponly=True, samesite="lax")


def is_secure(request: Request) -> bool:
    """Whether cookies are for TLS alone: in production, and where the request came over TLS."""
    return _is_production(request) or request.url.scheme == "https"


def _is_production(request: Request) -> bool:
    return _state(request).runtime.settings.environment is Environment.PRODUCTION


def client_address(request: Request) -> str | None:
    return request.client.host if request.client else None


def _cookie_name(request: Request, name: str) -> str:
    """With this prefix a browser takes it from this very host and over TLS only, not from a neighbour's subdomain."""
    return f"__Host-{name}" if is_secure(request) else name


def _state(request: Request) -> WebState:
    state: WebState = request.state.web
    return state


def _is_looked_at(request: Request) -> bool:
    """Whether a person waits for a page, whom a redirect helps; a stream or a form is told."""
    streams = "text/event-stream" in request.headers.get("accept", "")
    return request.method in {"GET", "HEAD"} and not streams


def _sign_in_address(request: Request) -> str:
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return SIGN_IN if safe_next(wanted) == HOME else f"{SIGN_IN}?next={quote(safe_next(wanted), safe='/')}"
