"""Ids: UUIDv7 inside, a prefix and 32 digits at the API."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadmap.errors import NotFound
from roadmap.ids import Prefix, first_id, new_id, parse_id, show_id

ONE = UUID("0190a5b1-7c3d-7abc-8def-0123456789ab")
SHOWN = "rm_0190a5b17c3d7abc8def0123456789ab"


def test_an_id_is_a_uuid_of_version_seven_with_the_time_in_front() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= after


def test_the_first_id_of_a_moment_stands_between_those_before_and_those_after() -> None:
    now = datetime.now(UTC)
    made = new_id()
    assert first_id(now) <= made < first_id(now + timedelta(seconds=10))
    assert first_id(datetime(1970, 1, 1, tzinfo=UTC)).int == 0
    assert first_id(datetime(9999, 12, 31, tzinfo=UTC)) > made


def test_ids_are_unique_and_those_of_later_milliseconds_sort_later() -> None:
    first = new_id()
    ids = {new_id() for _ in range(10_000)}
    while (last := new_id()).int >> 80 == first.int >> 80:
        pass

    assert len(ids) == 10_000
    assert first < last


def test_ids_that_are_made_a_microsecond_apart_stand_in_their_order() -> None:
    made = []
    for _ in range(2_000):
        made.append(new_id())
        until = time.time_ns() + 1_000
        while time.time_ns() < until:
            pass
    assert made == sorted(made)


def test_all_bits_but_version_and_variant_vary() -> None:
    ids = [new_id().int for _ in range(1_000)]
    ever, always = 0, (1 << 128) - 1
    for number in ids:
        ever |= number
        always &= number

    assert (ever ^ always) & ((1 << 80) - 1) == ((1 << 80) - 1) ^ (0xF << 76) ^ (0b11 << 62)


def test_an_id_at_the_api_is_a_prefix_and_digits() -> None:
    assert show_id(Prefix.ROADMAP, ONE) == SHOWN


@given(st.uuids(), st.sampled_from(Prefix))
def test_an_id_survives_its_way_to_the_api_and_back(value: UUID, prefix: Prefix) -> None:
    assert parse_id(prefix, show_id(prefix, value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rm_",
        "rm",
        SHOWN.removeprefix("rm_"),
        SHOWN.replace("rm_", "run_"),
        SHOWN.replace("rm_", "RM_"),
        SHOWN.upper(),
        SHOWN[:-1],
        SHOWN + "0",
        SHOWN[:-1] + "g",
        SHOWN[:-1] + "٣",
        SHOWN[:-1] + "\n",
        f"rm_{ONE}",
        f" {SHOWN}",
        SHOWN.replace("rm_", "rm__"),
    ],
)
def test_an_id_of_the_wrong_form_names_nothing(text: str) -> None:
    with pytest.raises(NotFound, match=r"^no such roadmap$"):
        parse_id(Prefix.ROADMAP, text)


@given(st.text())
def test_no_text_whatsoever_breaks_the_parser(text: str) -> None:
    with pytest.raises(NotFound):
        parse_id(Prefix.LOG_ENTRY, text)
