"""Pages from templates: whatever is put in is escaped, and a name that nobody gave is a fault."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.runtime import Context
from starlette.responses import HTMLResponse

from roadmap.web.pages import charts, pictures
from roadmap.web.pages.assets import asset_url
from roadmap.web.pages.formats import FILTERS, UNKNOWN

__all__ = ["LIVE", "environment", "fragments", "page_answer", "render"]

# No inline script, no inline style, nothing of others.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "Referrer-Policy": "same-origin"}
# A block of this kind of name is a piece of a page that is sent again when it changes.
LIVE = "live_"
LAYOUT = "layout.html"


@cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("roadmap.web.pages"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    made.globals.update(asset_url=asset_url, charts=charts, pictures=pictures, unknown=UNKNOWN)
    # Here for every template: a block that is rendered alone sees no imports of its template.
    made.globals["ui"] = made.get_template("parts.html").module
    return made


def render(template: str, values: Mapping[str, Any]) -> str:
    return environment().get_template(template).render(values)


def fragments(template: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each live block of a template, and of the layout, by its name and rendered alone."""
    for source in (LAYOUT, template):
        found = environment().get_template(source)
        for name, block in found.blocks.items():
            if name.startswith(LIVE):
                context: Context = found.new_context(dict(values))
                yield name, "".join(block(context)).strip()


def page_answer(template: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    return HTMLResponse(render(template, values), status, headers=HEADERS)
