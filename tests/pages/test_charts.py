"""Charts: what they draw, what they say to those who do not see them, and what they do with nothing."""

import re
from xml.etree import ElementTree

import pytest
from markup import read_markup

from roadmap.web.pages.charts import Chart, Series, Tone, area, bars, meter, nice_span, nice_top, sparkbars, sparkline
from roadmap.web.pages.formats import duration
from roadmap.web.pages.svg import element

HOSTILE = "<script>\"'&"


def chart(*series: Series, labels: int = 4, **changes: object) -> Chart:
    return Chart("c", "Jobs", [f"{place:02}:00" for place in range(labels)], series, **changes)  # type: ignore[arg-type]


def figure(html: str) -> ElementTree.Element:
    """Well-formed as XML too, which is stricter."""
    assert [fault for fault in read_markup(html).faults if "scope" not in fault] == []
    return ElementTree.fromstring(html)


def rects(html: str, tone: Tone) -> list[dict[str, str]]:
    return [dict(rect.attrib) for rect in figure(html).iter("rect") if rect.get("class") == f"t-{tone}"]


def test_bars_stand_one_upon_the_other_and_end_at_the_axis() -> None:
    html = bars(chart(Series("ok", [1, 0, 10, 5]), Series("bad", [1, 0, 0, 5], Tone.BAD)))
    good, bad = rects(html, Tone.MAIN), rects(html, Tone.BAD)
    assert (len(good), len(bad)) == (3, 2)
    tallest = max(float(rect["height"]) for rect in good)
    assert float(good[2]["height"]) == pytest.approx(tallest / 2, abs=0.02)
    assert float(bad[1]["y"]) + float(bad[1]["height"]) == pytest.approx(float(good[2]["y"]), abs=0.02)
    assert float(good[2]["y"]) + float(good[2]["height"]) == pytest.approx(float(good[1]["y"]) + tallest, abs=0.02)


def test_one_among_a_thousand_is_still_seen() -> None:
    [bad] = rects(bars(chart(Series("ok", [1000]), Series("bad", [1], Tone.BAD), labels=1)), Tone.BAD)
    assert float(bad["height"]) >= 1.5


def test_a_chart_tells_in_words_what_it_shows() -> None:
    html = bars(chart(Series("ok", [1, 2, 3, 4]), Series("bad", [0, 0, 7, 0], Tone.BAD)))
    [label] = [svg["aria-label"] for svg in read_markup(html).all("svg")]
    assert label == "Jobs. 00:00 to 03:00. ok: 10 in all, at most 4; bad: 7 in all, at most 7"
    assert figure(html).find(".//title").text == "Jobs"  # type: ignore[union-attr]
    cells = [[cell.text or "" for cell in row] for row in figure(html).iter("tr")]
    assert cells == [
        ["", "ok", "bad"],
        ["00:00", "1", "0"],
        ["01:00", "2", "0"],
        ["02:00", "3", "7"],
        ["03:00", "4", "0"],
    ]
    assert "02:00: ok 3, bad 7" in html


def test_what_does_not_add_up_is_not_added_up() -> None:
    html = area(chart(Series("run", [1.0, None, 3.0, 2.0]), write=duration, adds_up=False))
    assert "run: at most 3.0 s" in html
    assert "in all" not in html


def test_unknown_values_leave_a_gap_and_a_lonely_one_is_seen() -> None:
    lines = [
        line.get("points", "").split() for line in figure(area(chart(Series("run", [1, None, 3, 2])))).iter("polyline")
    ]
    assert [len(points) for points in lines] == [2, 2]
    first, second = (float(point.partition(",")[0]) for point in lines[0])
    assert second > first


def test_a_chart_of_nothing_is_a_chart() -> None:
    for html in (bars(chart(labels=0)), area(chart(labels=0)), bars(chart(Series("ok", [0, 0]), labels=2)),
                 area(chart(Series("ok", [None, None]), labels=2))):  # fmt: skip
        figure(html)
    assert "nothing yet" in bars(chart(labels=0))
    assert "nothing known" in area(chart(Series("ok", [None, None]), labels=2))
    for small in (sparkline([], "none"), sparkbars([], "none"), sparkline([0, 0], "none"), sparkbars([0, 0], "none")):
        assert ElementTree.fromstring(small).get("aria-label") == "none"


def test_names_and_labels_are_escaped() -> None:
    hostile = Chart(HOSTILE, HOSTILE, [HOSTILE], [Series(HOSTILE, [1]), Series("b", [1])], lambda _: HOSTILE)
    for html in (bars(hostile), area(hostile), sparkline([1], HOSTILE), sparkbars([1], HOSTILE), meter(0.5, HOSTILE)):
        ElementTree.fromstring(html)
        assert "<script>" not in html
    assert element("a", HOSTILE, href=HOSTILE) == (
        '<a href="&lt;script&gt;&#34;&#39;&amp;">&lt;script&gt;&#34;&#39;&amp;</a>'
    )


def test_no_picture_has_a_style_of_its_own() -> None:
    pictures = [bars(chart(Series("ok", [1, 2, 3, 4]))), area(chart(Series("ok", [1, 2, 3, 4]))), sparkbars([1], "x"),
                sparkline([1, 2], "x"), meter(0.3, "x")]  # fmt: skip
    for html in pictures:
        assert not re.search(r"\sstyle=|<style|\son\w+=|fill=\"#", html)


@pytest.mark.parametrize(("share", "width"), [(-1, "0.0%"), (0, "0.0%"), (0.5, "50.0%"), (1, "100.0%"), (7, "100.0%")])
def test_a_meter_stays_within_its_rail(share: float, width: str) -> None:
    [_, fill] = ElementTree.fromstring(meter(share, "used")).findall("rect")
    assert fill.get("width") == width


@pytest.mark.parametrize(
    ("most", "top"),
    [(0, 1), (0.03, 0.04), (1, 1), (1.1, 2), (3, 4), (4.2, 5), (7, 8), (9, 10), (10, 10), (1_234, 2_000)],
)
def test_an_axis_ends_at_a_number_that_people_say(most: float, top: float) -> None:
    assert nice_top(most) == pytest.approx(top)


@pytest.mark.parametrize(("seconds", "span"), [(0.2, 1), (3, 4), (45, 60), (61, 120), (100_000, 100_000)])
def test_a_time_axis_ends_at_a_time_that_people_say(seconds: float, span: float) -> None:
    assert nice_span(seconds) == span
