"""Reads a page as strictly as nobody else does: what is wrong with its markup, and what it holds."""

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

__all__ = ["Markup", "read_markup"]

VOID = {"br", "hr", "img", "input", "link", "meta"}
LABELLED = {"input", "select", "textarea"}
# Which may have an empty text, because their attributes name them.
NAMED_BY = ("aria-label", "aria-labelledby", "title")

Attributes = dict[str, str]


@dataclass(slots=True)
class _Open:
    tag: str
    attributes: Attributes
    text: str = ""


@dataclass(slots=True)
class Markup:
    """`faults` are in words. `elements` are all of the page's; `text` is what can be read of it."""

    faults: list[str] = field(default_factory=list)
    elements: list[tuple[str, Attributes]] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str) -> list[Attributes]:
        return [attributes for name, attributes in self.elements if name == tag]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Markup()
        self.open: list[_Open] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len({name for name, _ in attrs}) < len(attrs):
            self.page.faults.append(f"<{tag}> has an attribute twice")
        attributes = {name: value or "" for name, value in attrs}
        self.page.elements.append((tag, attributes))
        self.page.faults += list(_faults_of(tag, attributes, [one.tag for one in self.open]))
        if tag not in VOID:
            self.open.append(_Open(tag, attributes))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1].tag != tag:
            self.page.faults.append(f"</{tag}> closes {self.open[-1].tag if self.open else 'nothing'}")
            return
        closed = self.open.pop()
        if tag in {"a", "button", "h1", "h2", "h3", "th", "summary", "title"} and not _is_named(closed):
            self.page.faults.append(f"<{tag}> says nothing: {closed.attributes}")
        if self.open:
            self.open[-1].text += closed.text

    def handle_data(self, data: str) -> None:
        self.page.text += data
        if self.open:
            self.open[-1].text += data

    def finish(self) -> Markup:
        self.close()
        if self.open:
            self.page.faults.append(f"not closed: {[one.tag for one in self.open]}")
        ids = Counter(attributes["id"] for _, attributes in self.page.elements if "id" in attributes)
        self.page.faults += [f"the id {name} is there twice" for name, count in ids.items() if count > 1]
        self.page.faults += [
            f"{name} names {target}, which is not there"
            for _, attributes in self.page.elements
            for name in ("for", "form", "aria-labelledby", "aria-describedby")
            if (target := attributes.get(name)) and target not in ids
        ]
        return self.page


def _faults_of(tag: str, attributes: Attributes, inside: list[str]) -> list[str]:
    told = []
    told += [f"<{tag}> has {name}" for name in attributes if name == "style" or name.startswith("on")]
    if tag in {"style", "iframe", "object", "base"} or (tag == "script" and "src" not in attributes):
        told.append(f"an inline <{tag}>")
    told += [
        f"<{tag}> leads elsewhere: {attributes[name]}"
        for name in ("href", "src", "action", "formaction")
        if name in attributes and not attributes[name].startswith(("/monitor", "#", "?"))
    ]
    if tag == "th" and attributes.get("scope") not in {"col", "row"}:
        told.append("<th> without a scope")
    if (
        tag in LABELLED
        and attributes.get("type") != "hidden"
        and "label" not in inside
        and "aria-label" not in attributes
    ):
        told.append(f"<{tag}> without a label: {attributes}")
    if tag == "img" and "alt" not in attributes:
        told.append("<img> without alt")
    if tag in {"form", "a", "button"} and tag in inside:
        told.append(f"<{tag}> in a <{tag}>")
    return told


def _is_named(element: _Open) -> bool:
    if "data-theme-turn" in element.attributes or element.attributes.get("id") == "ask-head":
        return True  # the script names them before they are shown
    corner = element.tag == "th" and element.attributes.get("scope") == "col" and not element.attributes.get("class")
    return bool(element.text.strip()) or corner or any(element.attributes.get(name) for name in NAMED_BY)


def read_markup(html: str) -> Markup:
    reader = _Reader()
    reader.feed(html)
    return reader.finish()
