"""A run's questions to the model as lanes over its time: what was asked when, how long it took, and how it ended."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from roadmap.llm.model import CallStatus
from roadmap.monitor.model import CallView, RunView
from roadmap.web.pages.charts import Tone, nice_span
from roadmap.web.pages.formats import duration
from roadmap.web.pages.svg import element, join

__all__ = ["timeline"]

LANE = 34  # pixels: the name, and below it the bars
HEAD = 20
MOST_LANES = 60
TONES = {
    CallStatus.OK: Tone.MAIN,
    CallStatus.OPEN: Tone.QUIET,
    CallStatus.OUTAGE: Tone.WARN,
    CallStatus.UNUSABLE: Tone.BAD,
}
NAMES = {CallStatus.OK: "answered", CallStatus.OPEN: "open, or cut off"}


def timeline(view: RunView) -> Markup:
    """The plan's calls in the first lane, then a lane for each concept, in the order in which they were begun."""
    lanes = _lanes(view.calls)
    span = nice_span(max((call.offset_seconds + (call.seconds or 0) for call in view.calls), default=1))
    height = HEAD + LANE * min(len(lanes), MOST_LANES)
    drawn = [_lane(calls, HEAD + LANE * place, span) for place, calls in enumerate(lanes[:MOST_LANES])]
    said = f"{len(view.calls)} questions to the model in {len(lanes)} lanes, over {duration(span)}"
    picture = element(
        "svg", element("title", "Attempts over time"), element("desc", said), _scale(span, height), *drawn,
        class_="plot", role="img", aria_label=said, width="100%", height=height,
    )  # fmt: skip
    rest = len(lanes) - MOST_LANES
    more = element("p", f"{rest} more lanes are in the table.", class_="muted small") if rest > 0 else ""
    return element("figure", _legend(view.calls), picture, more, class_="chart")


def _lanes(calls: Iterable[CallView]) -> list[list[CallView]]:
    """By the concepts' ids: two of them may have one title."""
    lanes: dict[str | None, list[CallView]] = {}
    for call in calls:
        lanes.setdefault(call.concept_id, []).append(call)
    return list(lanes.values())


def _scale(span: float, height: int) -> Markup:
    """A line at each quarter, with its time."""
    parts = []
    for quarter in range(5):
        x = f"{25 * quarter}%"
        anchor = {0: "start", 4: "end"}.get(quarter, "middle")
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=HEAD - 4, y2=height))
        parts.append(element("text", duration(span * quarter / 4), class_="tick", x=x, y=11, text_anchor=anchor))
    return join(*parts)


def _lane(calls: Sequence[CallView], y: int, span: float) -> Markup:
    name = calls[0].concept_title or calls[0].concept_id or "Plan"
    return join(
        element("text", name, class_="lane", x=0, y=y + 13), *(_bar(call, y + 19, span) for call in calls)
    )  # fmt: skip


def _bar(call: CallView, y: int, span: float) -> Markup:
    """What has no known end is a short mark at its begin."""
    wide = max(100 * (call.seconds or 0) / span, 0.4)
    return element(
        "rect", element("title", _said(call)), class_=f"t-{TONES[call.status]}", rx=2,
        x=f"{100 * call.offset_seconds / span:.3f}%", y=y, width=f"{wide:.3f}%", height=9,
    )  # fmt: skip


def _said(call: CallView) -> str:
    """For a pointer: the same is in the table."""
    took = f"took {duration(call.seconds)}" if call.seconds is not None else "no end is known"
    parts = [
        call.purpose.replace("_", " "), f"attempt {call.attempt}", f"repair {call.round}" if call.round else "",
        NAMES.get(call.status, call.status), f"at {duration(call.offset_seconds)}", took, call.error or "",
    ]  # fmt: skip
    return ", ".join(part for part in parts if part)


def _legend(calls: Sequence[CallView]) -> Markup:
    met = [status for status in TONES if any(call.status == status for call in calls)]
    names = [
        element("li", element("span", class_=f"key t-{TONES[status]}", aria_hidden="true"), NAMES.get(status, status))
        for status in met
    ]
    return element("ul", *names, class_="legend")
