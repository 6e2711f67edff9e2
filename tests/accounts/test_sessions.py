"""Sessions as values: what a cookie says, which keys it believes, and how long it lasts."""

import dataclasses
import time

import pytest
from itsdangerous import URLSafeSerializer

from roadmap.accounts.sessions import KNOWN_FOR, LASTS, Device, Keys, Session, make_up_key, read_keys
from roadmap.errors import Misconfigured
from roadmap.ids import new_id

KEY, OTHER = make_up_key(), make_up_key()


def session(age: float = 0) -> Session:
    return Session(new_id(), 3, int(time.time() - age), "a-random-id")


def test_a_cookie_is_read_as_it_was_signed() -> None:
    begun = session()
    assert Keys(KEY).read(Keys(KEY).sign(begun)) == begun


def test_a_cookie_that_was_changed_or_signed_by_others_says_nothing() -> None:
    good = Keys(KEY).sign(session())
    payload, _, signature = good.rpartition(".")
    theirs = URLSafeSerializer(KEY, salt="another.cookie").dumps(["0" * 32, 0, int(time.time()), "x"])
    for forged in ("", ".", "x", payload, f"{payload}.", f"{payload}x.{signature}", good[:-2], good * 9, theirs):
        assert Keys(KEY).read(forged) is None, forged
    assert Keys(OTHER).read(good) is None


@pytest.mark.parametrize("fields", [[], ["0" * 32, 0, "now", "x"], {"u": 1}, ["0" * 32, 0, 0], "text", None])
def test_what_another_release_signed_ends_the_session(fields: object) -> None:
    keys = Keys(KEY)
    assert keys.read(str(keys._serializer.dumps(fields))) is None


def test_a_session_lasts_twelve_hours_and_begins_in_no_future() -> None:
    keys = Keys(KEY)
    assert [keys.read(keys.sign(session(age))) is not None for age in (0, LASTS - 5, LASTS + 5, -30, -120)] == [
        True, True, False, True, False,
    ]  # fmt: skip


def test_the_key_before_is_believed_and_signs_nothing() -> None:
    begun = session()
    old, rotated = Keys(OTHER), Keys(KEY, OTHER)
    assert rotated.read(old.sign(begun)) == begun
    assert old.read(rotated.sign(begun)) is None
    assert rotated.is_csrf(begun.id, old.csrf(begun.id))
    assert not old.is_csrf(begun.id, rotated.csrf(begun.id))


def test_a_token_is_good_for_its_session_alone() -> None:
    keys = Keys(KEY)
    mine, theirs = session(), dataclasses.replace(session(), id="another-id")
    assert keys.is_csrf(mine.id, keys.csrf(mine.id))
    assert keys.csrf(mine.id) != keys.csrf(mine.id)  # nothing to be found by the length of compressed pages
    for token in (
        "",
        "x",
        keys.csrf(theirs.id),
        Keys(OTHER).csrf(mine.id),
        keys.csrf(mine.id)[:-1],
        "0" * 128,
        "\ud800é",
    ):
        assert not keys.is_csrf(mine.id, token)


def test_a_browser_is_known_for_ninety_days_and_its_cookie_opens_no_session() -> None:
    keys = Keys(KEY)
    device = dataclasses.replace(Device.begin("digest"), issued_at=int(time.time()))
    assert keys.read_device(keys.sign_device(device)) == device
    assert keys.read_device(Keys(OTHER).sign_device(device)) is None
    assert keys.read_device(keys.sign(session())) is None
    assert keys.read(keys.sign_device(device)) is None
    assert keys.read_device(str(keys._devices.dumps(["digest", "now", "x"]))) is None
    for age, known in ((KNOWN_FOR - 5, True), (KNOWN_FOR + 5, False), (-120, False)):
        old = dataclasses.replace(device, issued_at=int(time.time()) - age)
        assert (keys.read_device(keys.sign_device(old)) is not None) == known, age


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "is not set"),
        ("k7Qz!", "has fewer than 32 characters"),
        ("a" * 64, "could be guessed"),
        ("0123456701234567012345670123456701234567", "could be guessed"),
        ("your-super-secret-jwt-key-change-in-production", "could be guessed"),
        ("ChangeMe" + "x7Kq9mTz2wRt8hq2Pp0xkd" * 2, "could be guessed"),
    ],
)
def test_production_refuses_a_key_that_is_missing_short_or_known(key: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=f"^JWT_SECRET_KEY {words}") as caught:
        read_keys(key, "", strict=True)
    assert not key or key not in str(caught.value)
    if key:
        with pytest.raises(Misconfigured, match=f"^JWT_SECRET_KEY_PREVIOUS {words}"):
            read_keys(KEY, key, strict=True)
    assert (read_keys(key, "", strict=False) is None) == (key == "")


def test_made_up_keys_are_good_enough_for_production() -> None:
    for _ in range(50):
        assert read_keys(make_up_key(), make_up_key(), strict=True) is not None
