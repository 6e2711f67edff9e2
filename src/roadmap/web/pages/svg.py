"""SVG and HTML elements as values: attributes and texts are escaped, and no style is inline (the policy forbids it)."""

from markupsafe import Markup, escape

__all__ = ["element", "join", "points"]

Attribute = str | float | None


def element(name: str, *children: str, **attributes: Attribute) -> Markup:
    """`class_` and `text_anchor` are class and text-anchor; an attribute that is None is left out."""
    written = "".join(
        f' {_name(key)}="{escape(_value(value))}"' for key, value in attributes.items() if value is not None
    )
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")  # noqa: S704  names are ours, the rest is escaped


def join(*parts: str) -> Markup:
    return Markup("".join(map(escape, parts)))  # noqa: S704  escaped


def points(places: list[tuple[float, float]]) -> str:
    """For the attribute `points`, or a path of lines."""
    return " ".join(f"{_value(x)},{_value(y)}" for x, y in places)


def _name(key: str) -> str:
    # SVG's own names with a capital (viewBox) have no underscore.
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    """Coordinates to a hundredth: more would be noise on the wire."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
