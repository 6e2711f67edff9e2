"""Passwords: which are taken, how they are kept, and how many are looked at once."""

import asyncio
import hashlib
import threading

import pytest
from argon2 import PasswordHasher
from operators import PASSWORD, CountingHasher

from roadmap.accounts.passwords import AT_ONCE, MOST_WAITING, open_passwords
from roadmap.accounts.strength import check_email, check_password
from roadmap.errors import Invalid, TooMany

EMAIL = "olga.meier@example.org"
WEAK = {
    "too short": ("abC7#kq9!mT", "use at least 12 characters"),
    "too long": ("é" * 600 + PASSWORD, "use at most 1024 bytes"),
    "with a null": (PASSWORD + "\0", "leave out control characters"),
    "a default of products": ("admin1234567", "first that are guessed"),
    "the seeds' kind": ("Admin123!Admin", "first that are guessed"),
    "a default with a year": ("ChangeMe!2024", "first that are guessed"),
    "in disguise": ("P@ssw0rd2024!", "first that are guessed"),
    "wide letters": ("ｐａｓｓｗｏｒｄ１２３４", "first that are guessed"),
    "two known words": ("dragon-monkey-77", "first that are guessed"),
    "a row of keys": ("qwertyuiop[]", "first that are guessed"),
    "a zigzag of keys": ("1q2w3e4r5t6y", "first that are guessed"),
    "the comic's": ("correct horse battery staple", "first that are guessed"),
    "one letter": ("aaaaaaaaaaaa", "repeats itself"),
    "a word again and again": ("abcdefabcdef", "repeats itself"),
    "a number": ("483920174462", "is a number"),
    "the e-mail address": ("Olga.Meier@Example.org", "says the e-mail address"),
    "the name in it": ("olga.meier2024!", "says the e-mail address"),
}
STRONG = (
    PASSWORD,
    "x7#Kq9!mTz2w",
    "9f8a7c2e1b3d",
    "Kartoffel im Regen 8",
    "七个紫色的水獭画栅栏在雨中啊",
    "Zaun " + "".join(hashlib.sha512(bytes([n])).hexdigest() for n in range(7)),
)


@pytest.mark.parametrize(("password", "advice"), WEAK.values(), ids=WEAK)
def test_a_weak_password_is_refused_with_advice(password: str, advice: str) -> None:
    with pytest.raises(Invalid, match=advice) as caught:
        check_password(password, EMAIL)
    assert caught.value.faults[0].code == "weak_password"
    assert password not in str(caught.value)


@pytest.mark.parametrize("password", STRONG)
def test_a_long_password_that_nobody_has_is_taken(password: str) -> None:
    check_password(password, EMAIL)


@pytest.mark.parametrize("email", ["", "olga", "@", "olga@", "@example.org", "o lga@example.org", "a" * 250 + "@b.org"])
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(Invalid, match="no e-mail address"):
        check_email(email)


async def test_a_password_is_known_again_however_it_is_composed_and_by_its_hash_alone() -> None:
    with open_passwords() as passwords:
        stored = await passwords.hash("caf\u00e9 violet otter")
        assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert await passwords.verify(stored, "cafe\u0301 violet otter")
        assert not await passwords.verify(stored, "cafe violet otter")
        assert await passwords.hash(PASSWORD) != await passwords.hash(PASSWORD)


async def test_without_a_hash_the_same_work_is_done_and_nothing_is_right() -> None:
    hasher = CountingHasher()
    with open_passwords(hasher) as passwords:
        stored = await passwords.hash(PASSWORD)
        assert await passwords.verify(stored, PASSWORD)
        assert not await passwords.verify(None, PASSWORD)
        assert not await passwords.verify("no hash at all", PASSWORD)
    assert len(hasher.verified) == 3
    assert len({tuple(one.split("$")[1:4]) for one in hasher.verified[:2]}) == 1


async def test_a_hash_of_other_parameters_is_outdated() -> None:
    with open_passwords() as passwords:
        assert passwords.is_outdated(PasswordHasher(1, 8_192, 1).hash(PASSWORD))
        assert not passwords.is_outdated(await passwords.hash(PASSWORD))


class SlowHasher(CountingHasher):
    """Holds on until it is let go; counts how many are in it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.inside = self.most = 0
        self._lock = threading.Lock()

    def verify(self, hash: str, password: str) -> bool:  # noqa: A002  argon2's name
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.go.wait(30)
        with self._lock:
            self.inside -= 1
        return True


async def test_a_flood_is_looked_at_few_at_a_time_and_the_rest_is_told_to_come_back() -> None:
    hasher = SlowHasher()
    with open_passwords(hasher) as passwords:
        tries = [asyncio.create_task(passwords.verify(None, "x")) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await passwords.verify(None, "x")
        canceled = tries.pop()  # one that leaves makes room
        canceled.cancel()
        await asyncio.gather(canceled, return_exceptions=True)
        tries.append(asyncio.create_task(passwords.verify(None, "x")))
        hasher.go.set()
        assert await asyncio.gather(*tries) == [False] * MOST_WAITING
    assert hasher.most == AT_ONCE
