"""Charts as SVG, drawn here: each has a title, a description and the same figures as a table.

Widths are shares of the place that a page has, heights are pixels: text stays text at any width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from markupsafe import Markup

from roadmap.web.pages.formats import count
from roadmap.web.pages.svg import element, join, points

__all__ = ["Chart", "Series", "Tone", "area", "bars", "meter", "nice_span", "nice_top", "sparkbars", "sparkline"]

HEIGHT = 168
TOP, BOTTOM = 14, 22  # for the uppermost label, and for those of the axis
MOST_X_LABELS = 5


class Tone(StrEnum):
    """What a colour means; monitor.css says which it is."""

    MAIN = "main"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    QUIET = "quiet"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Series:
    """Values over the chart's places; None where nothing is known."""

    name: str
    values: Sequence[float | None]
    tone: Tone = Tone.MAIN


@dataclass(frozen=True, slots=True)
class Chart:
    """`labels` name the places, left to right. `write` puts a value into words. `id` is unique on its page.
    `adds_up`: a series has a sum that means something."""

    id: str
    title: str
    labels: Sequence[str]
    series: Sequence[Series]
    write: Callable[[float], str] = count
    height: int = HEIGHT
    adds_up: bool = True


def bars(chart: Chart) -> Markup:
    """A bar for each place, its series one upon the other."""
    totals = [sum(values) for values in _columns(chart)]
    top = nice_top(max(totals, default=0))
    return _figure(chart, top, join(*(_bar(chart, place, top) for place in range(len(chart.labels)))))


def area(chart: Chart) -> Markup:
    """A line with its area for each series; unknown values leave a gap."""
    top = nice_top(max((value for series in chart.series for value in series.values if value is not None), default=0))
    inner = element(
        "svg", *(_curve(series, top) for series in chart.series),
        y=TOP, width="100%", height=_plot(chart), viewBox="0 0 100 100", preserveAspectRatio="none",
    )  # fmt: skip
    return _figure(chart, top, join(inner, *(_probe(chart, place) for place in range(len(chart.labels)))))


def sparkline(values: Sequence[float], label: str, tone: Tone = Tone.MAIN) -> Markup:
    """A course without axes, for a line of a table or a tile. `label` says in words what it shows."""
    top = max(values, default=0) or 1
    curve = _curve(Series(label, values, tone), top * 1.08)
    return element(
        "svg", element("title", label), curve, class_="spark", role="img", aria_label=label,
        viewBox="0 0 100 100", preserveAspectRatio="none",
    )  # fmt: skip


def sparkbars(values: Sequence[float], label: str, tone: Tone = Tone.MAIN) -> Markup:
    """The same as bars: for counts, of which most may be none."""
    top, step = max(values, default=0) or 1, 100 / max(1, len(values))
    drawn = [
        element("rect", class_=f"t-{tone}", x=step * place, y=100 - tall, width=step * 0.7, height=tall)
        for place, value in enumerate(values)
        if (tall := max(100 * value / top, 8) if value else 0)
    ]
    rail = element("rect", class_="rail", y=97, width=100, height=3)
    return element(
        "svg", element("title", label), rail, *drawn, class_="spark", role="img", aria_label=label,
        viewBox="0 0 100 100", preserveAspectRatio="none",
    )  # fmt: skip


def meter(share: float, label: str, tone: Tone = Tone.MAIN) -> Markup:
    """How much of something is used, 0 to 1."""
    width = f"{100 * min(max(share, 0), 1):.1f}%"
    return element(
        "svg", element("title", label), element("rect", class_="rail", width="100%", height="100%", rx=3),
        element("rect", class_=f"fill t-{tone}", width=width, height="100%", rx=3),
        class_="meter", role="img", aria_label=label,
    )  # fmt: skip


def nice_top(most: float) -> float:
    """The end of an axis: 1, 2, 4, 5 or 8 times a power of ten, at least `most`; 1 when there is nothing."""
    if most <= 0:
        return 1
    power = 1.0
    while power < most:
        power *= 10
    while power / 10 >= most:
        power /= 10
    return next(power / 10 * step for step in (1, 2, 4, 5, 8, 10) if power / 10 * step >= most * 0.9999)


def nice_span(seconds: float) -> float:
    """The end of a time axis, at least `seconds`: its quarters are times that people say."""
    steps = (1, 2, 4, 10, 20, 40, 60, 120, 240, 480, 600, 1_200, 2_400, 3_600, 7_200, 14_400, 28_800)
    return next((step for step in steps if step >= seconds), seconds)


def _figure(chart: Chart, top: float, drawing: Markup) -> Markup:
    picture = element(
        "svg", element("title", chart.title), element("desc", _described(chart)),
        _grid(chart, top), drawing, _axis(chart),
        class_="plot", role="img", aria_label=f"{chart.title}. {_described(chart)}", width="100%", height=chart.height,
    )  # fmt: skip
    legend = _legend(chart) if len(chart.series) > 1 else Markup("")
    return element("figure", legend, picture, _table(chart), class_="chart")


def _described(chart: Chart) -> str:
    said = [f"{series.name}: {_summary(chart, series)}" for series in chart.series]
    span = f"{chart.labels[0]} to {chart.labels[-1]}" if chart.labels else "nothing yet"
    return f"{span}. {'; '.join(said)}"


def _summary(chart: Chart, series: Series) -> str:
    known = [value for value in series.values if value is not None]
    if not known:
        return "nothing known"
    total = f"{chart.write(sum(known))} in all, " if chart.adds_up else ""
    return f"{total}at most {chart.write(max(known))}"


def _grid(chart: Chart, top: float) -> Markup:
    """Lines at none, half and all, their values above them."""
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = TOP + _plot(chart) * (1 - share)
        lines.append(element("line", class_="grid", x1=0, x2="100%", y1=y, y2=y))
        if share:
            lines.append(element("text", chart.write(top * share), class_="tick", x=0, y=y - 4))
    return join(*lines)


def _axis(chart: Chart) -> Markup:
    places = len(chart.labels)
    shown = range(0, places, max(1, -(-places // MOST_X_LABELS)))
    return join(
        *(
            element(
                "text",
                chart.labels[place],
                class_="tick",
                y=chart.height - 6,
                x=f"{100 * (place + 0.5) / places:.2f}%" if place else "0",
                text_anchor="middle" if place else "start",
            )
            for place in shown
        )
    )


def _bar(chart: Chart, place: int, top: float) -> Markup:
    step = 100 / len(chart.labels)
    foot = float(TOP + _plot(chart))
    parts = []
    for series, value in zip(chart.series, _column(chart, place), strict=True):
        if value > 0:
            # One job among a thousand is still to be seen.
            tall = max(value / top * _plot(chart), 1.5)
            foot -= tall
            x, wide = f"{step * (place + 0.12):.2f}%", f"{step * 0.76:.2f}%"
            parts.append(element("rect", class_=f"t-{series.tone}", x=x, y=foot, width=wide, height=tall, rx=1.5))
    return element("g", *parts, _probe(chart, place), class_="bar")


def _probe(chart: Chart, place: int) -> Markup:
    """What a pointer meets: the whole height of a place, with its values in words."""
    said = [
        f"{series.name} {chart.write(value)}" for series in chart.series if (value := series.values[place]) is not None
    ]
    step = 100 / len(chart.labels)
    return element(
        "rect", element("title", f"{chart.labels[place]}: {', '.join(said) or 'nothing known'}"),
        class_="probe", x=f"{step * place:.2f}%", y=TOP, width=f"{step:.2f}%", height=_plot(chart),
    )  # fmt: skip


def _curve(series: Series, top: float) -> Markup:
    return join(*(_piece(piece, series.tone) for piece in _pieces(series, top)))


def _piece(places: list[tuple[float, float]], tone: Tone) -> Markup:
    if len(places) == 1:
        [(x, y)] = places
        places = [(x - 0.4, y), (x + 0.4, y)]
    ground = [(places[0][0], 100.0), *places, (places[-1][0], 100.0)]
    return join(
        element("polygon", class_=f"ground t-{tone}", points=points(ground)),
        element("polyline", class_=f"line t-{tone}", points=points(places)),
    )


def _pieces(series: Series, top: float) -> list[list[tuple[float, float]]]:
    """The stretches between unknown values, in a hundred by a hundred."""
    step = 100 / max(1, len(series.values) - 1)
    pieces: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(series.values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((place * step, 100 - 100 * value / top))
    return [piece for piece in pieces if piece]


def _legend(chart: Chart) -> Markup:
    names = [
        element("li", element("span", class_=f"key t-{series.tone}", aria_hidden="true"), series.name)
        for series in chart.series
    ]
    return element("ul", *names, class_="legend")


def _table(chart: Chart) -> Markup:
    """The same figures for those who do not see the picture, or want to read them."""
    head = element("tr", element("th", "", scope="col"), *(element("th", s.name, scope="col") for s in chart.series))
    rows = [
        element(
            "tr",
            element("th", label, scope="row"),
            *(element("td", "unknown" if v is None else chart.write(v)) for v in (s.values[n] for s in chart.series)),
        )
        for n, label in enumerate(chart.labels)
    ]
    table = element("table", element("caption", chart.title), element("thead", head), element("tbody", *rows))
    summary = element("summary", "Figures", element("span", f" of {chart.title}", class_="sr"))
    return element("details", summary, element("div", table, class_="scroll"), class_="figures", id=chart.id)


def _plot(chart: Chart) -> int:
    return chart.height - TOP - BOTTOM


def _columns(chart: Chart) -> list[list[float]]:
    return [_column(chart, place) for place in range(len(chart.labels))]


def _column(chart: Chart, place: int) -> list[float]:
    return [series.values[place] or 0 for series in chart.series]
