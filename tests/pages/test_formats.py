"""Values as people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from roadmap.web.pages import formats

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.24, "240 ms"), (0.9999, "1.0 s"), (1.44, "1.4 s"), (9.99, "10 s"), (59.6, "1 min"),
     (200, "3 min 20 s"), (7_500, "2 h 5 min"), (3_600, "1 h"), (273_600, "3 d 4 h")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "$0.00"), (12, "$0.000012"), (2_000, "$0.0020"), (999_000, "$0.9990"), (12_345_678, "$12.35"),
     (1_234_000_000, "$1,234.00")],
)  # fmt: skip
def test_money(micros: int, text: str) -> None:
    assert formats.micros(micros) == text


@pytest.mark.parametrize(
    ("octets", "text"), [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (88_000_000, "88 MB"), (2.5e12, "2.5 TB")]
)
def test_sizes(octets: float, text: str) -> None:
    assert formats.size(octets) == text


@pytest.mark.parametrize(("share", "text"), [(0, "0 %"), (0.0512, "5.1 %"), (0.5, "50 %"), (1, "100 %")])
def test_shares(share: float, text: str) -> None:
    assert formats.percent(share) == text


@pytest.mark.parametrize(
    ("back", "text"), [(0.2, "just now"), (-5, "just now"), (5, "5 s ago"), (61, "1 min ago"), (90_000, "1 d ago")]
)
def test_how_long_ago(back: float, text: str) -> None:
    assert formats.ago(NOON - timedelta(seconds=back), NOON) == text


def test_times_are_in_utc_wherever_they_came_from() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=8)))
    assert formats.moment(there) == "2026-11-22 12:00:00"
    assert formats.machine_time(there) == "2026-11-22T12:00:00Z"


def test_numbers_and_what_is_not_known() -> None:
    assert [formats.number(value) for value in (0.44, 7.0, 12.4, 1_240)] == ["0.4", "7", "12", "1,240"]
    assert [formats.plural(value, "run") for value in (0, 1, 2_000)] == ["0 runs", "1 run", "2,000 runs"]
    for write in (formats.count, formats.number, formats.duration, formats.size, formats.micros, formats.percent):
        assert "unknown" in write(None)


def test_json_is_cut_off_where_it_gets_long() -> None:
    assert formats.short({"a": 1}) == '{"a":1}'
    assert len(formats.short({"a": "x" * 10_000})) < 450
    assert formats.pretty({"a": [1]}) == '{\n  "a": [\n    1\n  ]\n}'
