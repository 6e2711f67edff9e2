"""Which e-mail addresses and passwords are taken; of these the long ones that nobody's list begins with."""

import re
import unicodedata
from functools import cache
from importlib.resources import files

from roadmap.errors import Fault, Invalid

__all__ = ["MOST_BYTES", "check_email", "check_password"]

LEAST = 12  # characters
MOST_BYTES = 1_024
LEAST_DIFFERENT = 5
# A password of three known words and nothing else is one guess among few; four random ones are many.
MOST_WORDS = 3
RUN = 6
EDGES = "0123456789!?.,;:-_+*#$%&/()=@ "
# Along these, forwards and backwards, fingers go by themselves.
ROWS = (
    "0123456789012345", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm", "1q2w3e4r5t6y7u8i9o0p",
    "qwertzuiop", "azertyuiop", "!@#$%^&*()",
)  # fmt: skip
# How people write letters with digits and signs.
DISGUISES = str.maketrans("@4301!|5$7+8", "aaeoiiissttb")


def check_email(email: str) -> None:
    """Raises Invalid. Whether anybody reads there is not asked."""
    bad = any(c.isspace() or unicodedata.category(c) in {"Cc", "Cs"} for c in email)
    if bad or "@" not in email.strip("@") or len(email) > 254:
        raise Invalid("this is no e-mail address")


def check_password(password: str, email: str) -> None:
    """Raises Invalid that says what to do."""
    normal = unicodedata.normalize("NFKC", password)
    if fault := _fault(normal, email):
        raise Invalid(f"this password cannot be taken: {fault}", [Fault("/password", "weak_password", fault)])


def _fault(password: str, email: str) -> str | None:
    """What to do about it; None: it can be taken."""
    folded = password.casefold()
    faults = (
        (len(password) < LEAST, f"use at least {LEAST} characters; a few random words are easy to keep"),
        (len(password.encode("utf-8", "replace")) > MOST_BYTES, f"use at most {MOST_BYTES} bytes"),
        (any(unicodedata.category(c) in {"Cc", "Cs"} for c in password), "leave out control characters"),
    )
    if said := next((text for wrong, text in faults if wrong), None):
        return said
    if _is_of(folded, email.casefold()):
        return "it says the e-mail address; use words that have nothing to do with you"
    if len(set(folded)) < LEAST_DIFFERENT or folded.isdigit() or _is_repeated(folded):
        return "it repeats itself, or is a number; use a few random words"
    if _is_row(folded) or is_well_known(folded):
        return "it is among the first that are guessed; use a few random words"
    return None


def is_well_known(text: str) -> bool:
    """Whether it is a known word, or a few of them, whatever digits and signs stand around them or for letters."""
    core = text.casefold().strip(EDGES)
    return any(_is_made_of_words(form) for form in (core, _undisguised(text.casefold())))


@cache
def _words() -> frozenset[str]:
    lines = (files("roadmap.accounts") / "well_known.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def _letters(text: str) -> str:
    return re.sub(r"[\W\d_]", "", text)


def _undisguised(text: str) -> str:
    return re.sub(r"[\d!?.]+$", "", text).translate(DISGUISES)


def _is_made_of_words(text: str) -> bool:
    """What is almost only digits and signs is no word."""
    letters = _letters(text)
    return len(letters) >= 3 and 2 * len(letters) >= len(text) and _spells(letters, MOST_WORDS)


def _spells(text: str, most: int) -> bool:
    if text in _words():
        return True
    if most == 1:
        return False
    return any(text[:end] in _words() and _spells(text[end:], most - 1) for end in range(1, min(len(text), 30)))


def _is_of(password: str, email: str) -> bool:
    name = email.partition("@")[0]
    rest = password.replace(email, "").replace(name, "") if len(name) >= 3 else password.replace(email, "")
    return len(_letters(rest)) < 4 and rest != password


def _is_repeated(text: str) -> bool:
    """`abcabcabcabc` is `abc`."""
    return re.fullmatch(r"(.{1,6}?)\1+.{0,5}", text, re.DOTALL) is not None


def _is_row(text: str) -> bool:
    """Whether it is put together from a row of the keyboard, or two."""
    rest = text
    for row in (*ROWS, *(row[::-1] for row in ROWS)):
        for size in range(len(row), RUN - 1, -1):
            for start in range(len(row) - size + 1):
                rest = rest.replace(row[start : start + size], "")
    return len(rest) <= 3
