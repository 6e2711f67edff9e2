"""What the monitor's figures look like: which chart each of them is."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from markupsafe import Markup

from roadmap.monitor.model import (
    FailureGroup,
    FunctionPoint,
    FunctionView,
    ModelView,
    OverviewPoint,
    RoadmapTree,
)
from roadmap.web.pages.charts import Chart, Series, Tone, area, bars
from roadmap.web.pages.formats import duration, micros, percent
from roadmap.web.pages.svg import element
from roadmap.web.pages.timeline import timeline

__all__ = [
    "daily_cost",
    "deaths",
    "hourly_calls",
    "hours",
    "minutes",
    "progress",
    "timeline",
    "week_of_jobs",
    "week_of_times",
]

HOUR = timedelta(hours=1)
WEEK = 7 * 24
MODEL_TONES = (Tone.MAIN, Tone.OTHER, Tone.GOOD)


def minutes(points: Sequence[OverviewPoint]) -> Markup:
    labels = [f"{point.at:%H:%M}" for point in points]
    return bars(Chart("minutes", "Jobs that ended, by minute", labels, _outcomes(points)))


def hours(points: Sequence[OverviewPoint]) -> Markup:
    labels = [f"{point.at:%H:%M}" for point in points]
    return bars(Chart("hours", "Jobs that ended, by hour", labels, _outcomes(points)))


def week_of_jobs(view: FunctionView, now: datetime) -> Markup:
    points = _whole_week(view, now)
    series = _outcomes([point or FunctionPoint(now, 0, 0, 0, None, None) for point in points])
    return bars(Chart(f"jobs-{view.function}", f"{view.function}: jobs that ended", _week_labels(now), series))


def week_of_times(view: FunctionView, now: datetime) -> Markup:
    points = _whole_week(view, now)
    series = [
        Series("run", [point.run_p95 if point else None for point in points], Tone.MAIN),
        Series("wait", [point.wait_p95 if point else None for point in points], Tone.WARN),
    ]
    chart = Chart(f"times-{view.function}", f"{view.function}: p95", _week_labels(now), series, duration, adds_up=False)
    return area(chart)


def deaths(group: FailureGroup, now: datetime) -> Markup:
    labels = [f"{now - HOUR * back:%H:00}" for back in range(len(group.hours) - 1, -1, -1)]
    series = [Series("died", group.hours, Tone.BAD)]
    return bars(Chart("deaths", "Dead jobs, by hour", labels, series, height=110))


def hourly_calls(model: ModelView) -> Markup:
    series = [
        Series("ok", [hour.ok for hour in model.hours], Tone.MAIN),
        Series("429", [hour.busy for hour in model.hours], Tone.WARN),
        Series("outage", [hour.outages for hour in model.hours], Tone.OTHER),
        Series("unusable", [hour.unusable for hour in model.hours], Tone.BAD),
    ]
    return bars(Chart("calls", "Model calls, by hour", [f"{hour.at:%H:%M}" for hour in model.hours], series))


def daily_cost(model: ModelView, now: datetime) -> Markup:
    """The models that cost most by name, the rest together."""
    days = [now.date() - timedelta(days=back) for back in range(6, -1, -1)]
    names = [one.model for one in sorted(model.models, key=lambda one: -one.cost_micros)]
    shown = list(dict.fromkeys(names))[: len(MODEL_TONES)]
    series = [Series(name, _costs(model, days, {name}), tone) for name, tone in zip(shown, MODEL_TONES, strict=False)]
    if others := set(names) - set(shown):
        series.append(Series("others", _costs(model, days, others), Tone.QUIET))
    labels = [f"{day:%a %d}" for day in days]
    return bars(Chart("cost", "Cost of the model, by day", labels, series or [Series("cost", [0] * 7)], micros))


def progress(tree: RoadmapTree) -> Markup:
    """One bar: what is ready, has failed, and is still to come."""
    parts = [("ready", tree.ready, Tone.GOOD), ("failed", tree.failed, Tone.BAD), ("open", tree.open, Tone.QUIET)]
    whole = tree.ready + tree.failed + tree.open
    label = ", ".join(f"{number} {name}" for name, number, _ in parts) if whole else "nothing yet"
    share, drawn = 0.0, []
    for _, number, tone in parts:
        wide = number / whole if whole else 0
        if wide:
            place = {"x": f"{100 * share:.2f}%", "width": f"{100 * wide:.2f}%"}
            drawn.append(element("rect", class_=f"t-{tone}", height="100%", **place))
        share += wide
    rail = element("rect", class_="rail", width="100%", height="100%")
    bar = element("svg", element("title", label), rail, *drawn, class_="progress", role="img", aria_label=label)
    said = element("span", f"{percent(tree.ready / whole)} ready: {label}" if whole else label, class_="muted small")
    return element("div", bar, said)


def _outcomes(points: "Sequence[OverviewPoint | FunctionPoint]") -> list[Series]:
    return [
        Series("succeeded", [point.succeeded for point in points], Tone.MAIN),
        Series("failed", [point.failed for point in points], Tone.BAD),
    ]


def _whole_week(view: FunctionView, now: datetime) -> list[FunctionPoint | None]:
    known = {point.at: point for point in view.week}
    return [known.get(at) for at in _week(now)]


def _week(now: datetime) -> list[datetime]:
    last = now.replace(minute=0, second=0, microsecond=0)
    return [last - HOUR * back for back in range(WEEK - 1, -1, -1)]


def _week_labels(now: datetime) -> list[str]:
    return [f"{at:%a %H:00}" for at in _week(now)]


def _costs(model: ModelView, days: Sequence[date], names: set[str]) -> list[float]:
    return [sum(usage.cost_micros for usage in model.days if usage.day == day and usage.model in names) for day in days]
