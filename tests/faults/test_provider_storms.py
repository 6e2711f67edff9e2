"""The provider misbehaves for a while: its word is kept, slots are free again, and who is not struck goes on."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from history import History
from model_server import Behaviour, Call, answer, large, stall, status
from waiting import eventually
from whole import Whole, asked, check_run, offline, open_whole, rows, subject

STRUCK = "Learn to sail in two weeks"
NEIGHBOUR = "Learn SQL in two weeks"
WISHES = {"size": "small", "kinds": ["tutorial", "resources"]}
SHORT = {"size": "small", "kinds": ["resources"]}
CREWS = 6
PAUSE = 3  # seconds; what the provider's Retry-After says
HANG = 2.0  # seconds; LLM_TIMEOUT
CALLS_AT_ONCE = 4
# The outages in a row after which the provider counts as away, and the seconds for which it is left alone first.
OUTAGES, FIRST_PAUSE = 5, 4.5
FEW = OUTAGES - 1
PIECES = "SELECT status, failures FROM content WHERE roadmap_id = $1"


class Storm:
    """The offline model, which while it `rages` behaves so at this many questions about concepts of the struck roadmap.
    `at`: when each of these questions was asked."""

    def __init__(self, behaviour: Behaviour, questions: int = 1_000) -> None:
        self.rages = True
        self.at: defaultdict[str, list[float]] = defaultdict(list)
        self._behaviour = behaviour
        self._questions = questions

    def __call__(self, call: Call) -> Behaviour:
        if not self._strikes(call):
            return offline(0.05)(call)
        self.at[call.prompt].append(time.monotonic())
        return self._behaviour if self.rages else offline()(call)

    def _strikes(self, call: Call) -> bool:
        if asked(call)["goal"] != STRUCK or not subject(call):
            return False
        return call.prompt in self.at or len(self.at) < self._questions

    @property
    def pauses(self) -> list[float]:
        """Between two calls for the same question."""
        return [later - earlier for times in self.at.values() for earlier, later in pairwise(times)]


@pytest.fixture
async def whole(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Whole]:
    limits = {"CONTENT_CONCURRENCY": "6", "LLM_CONCURRENCY": str(CALLS_AT_ONCE), "LLM_TIMEOUT": str(HANG)}
    async with open_whole(tmp_path, database_url, redis_url, **limits) as opened:
        yield opened


async def strike(whole: Whole, storm: Storm) -> str:
    """The id of a roadmap whose struck calls take up every slot that there is."""
    whole.model.default = storm
    await whole.stack.start("content", "logs")
    roadmap_id = await whole.create(STRUCK, **WISHES)
    await eventually(lambda: len(storm.at) >= CALLS_AT_ONCE, "the storm strikes")
    return roadmap_id


async def serve_neighbour(whole: Whole) -> None:
    await finish(whole, await whole.create(NEIGHBOUR, **WISHES))


async def finish(whole: Whole, roadmap_id: str) -> list[dict[str, Any]]:
    """As if nothing had been. Returns the pieces."""
    assert (await whole.finish(roadmap_id, within=120))["status"] == "succeeded"
    return await check_run(whole.db, roadmap_id)


STORMS = [pytest.param(429, id="429"), pytest.param(503, id="503", marks=pytest.mark.slow)]


@pytest.mark.fault("F19")
@pytest.mark.parametrize("code", STORMS)
async def test_nobody_comes_back_before_the_provider_has_said_and_a_neighbour_goes_on(
    whole: Whole, history: History, code: int
) -> None:
    storm = Storm(status(code, {"retry-after": str(PAUSE)}))
    with history.trouble("the provider refuses"):
        roadmap_id = await strike(whole, storm)
        await serve_neighbour(whole)
        # A 503 to all of its questions also makes the struck roadmap pause, for longer each time.
        await eventually(lambda: code == 503 or storm.pauses, "somebody comes back")
    storm.rages = False
    pieces = await finish(whole, roadmap_id)
    assert min(storm.pauses) >= PAUSE
    assert len(storm.pauses) >= FEW
    assert {(piece["failures"], piece["crashes"]) for piece in pieces} == {(0, 0)}
    await history.check()


@pytest.mark.fault("F19")
async def test_questions_that_hang_give_their_slots_back_and_a_neighbour_goes_on(
    whole: Whole, history: History
) -> None:
    storm = Storm(stall())
    with history.trouble("the provider hangs"):
        roadmap_id = await strike(whole, storm)
        await serve_neighbour(whole)
        hung = [piece for piece in await rows(whole.db, PIECES, roadmap_id) if piece["failures"]]
    assert len(hung) >= FEW
    assert {piece["status"] for piece in hung} <= {"pending", "writing"}, "they wait, or hang once more"
    storm.rages = False
    await whole.pass_time()
    await finish(whole, roadmap_id)
    await history.check()


@pytest.mark.fault("F19")
@pytest.mark.slow
async def test_a_provider_that_fails_everybody_is_left_alone_and_everybody_completes_afterwards(
    whole: Whole, history: History
) -> None:
    failing = True
    failing = True
    times: list[float] = []

    def choose(call: Call) -> Behaviour:
        times.append(time.monotonic())
        return status(500) if failing else offline()(call)

    whole.model.default = choose
    many = [await whole.create(f"{STRUCK}, for crew {number}", **SHORT) for number in range(CREWS)]
    with history.trouble("the provider fails"):
        await whole.stack.start("content", "logs")
        await whole.stack["content"].says("provider_away")
        # An answer to those that are under way would be a sign of life.
        await eventually(lambda: time.monotonic() - times[-1] > 1, "nobody asks any more")
        failing = False
        await whole.stack["content"].says("provider_back")
    quiet = [number for number, (one, other) in enumerate(pairwise(times), 1) if other - one > FIRST_PAUSE]
    assert quiet, f"nobody asked for a while: {times}"
    assert OUTAGES <= quiet[0] < OUTAGES + CALLS_AT_ONCE, "none but those that were under way were in vain"
    for roadmap_id in many:
        pieces = await finish(whole, roadmap_id)
        assert {(piece["failures"], piece["crashes"]) for piece in pieces} == {(0, 0)}
    await history.check()


class Babbler:
    """The offline model, but at each purpose the first concepts get these answers, whenever they ask."""

    def __init__(self, **answers: list[Behaviour]) -> None:
        self._answers = answers
        self._lots: dict[tuple[str, str], Behaviour] = {}

    def __call__(self, call: Call) -> Behaviour:
        name = (call.purpose, subject(call))
        if name not in self._lots and asked(call)["goal"] == STRUCK and self._answers.get(call.purpose):
            self._lots[name] = self._answers[call.purpose].pop()
        return self._lots.get(name, offline()(call))


@pytest.mark.fault("F19")
async def test_answers_that_cannot_be_used_fail_their_pieces_with_what_is_wrong_and_nothing_else(
    whole: Whole, history: History
) -> None:
    refused, cut = answer(None, refusal="I cannot help with that."), answer("# Half a tuto", finish_reason="length")
    whole.model.default = Babbler(tutorial=[refused, cut, large()], resources=[answer({"links": "none"})])
    await whole.stack.start("content", "logs")
    with history.trouble("the provider babbles"):
        struck, neighbour = [await whole.create(goal, **WISHES) for goal in (STRUCK, NEIGHBOUR)]
        assert (await whole.finish(struck))["status"] == "incomplete"
        await finish(whole, neighbour)
    pieces = await check_run(whole.db, struck, "run.incomplete")
    assert sorted((piece["kind"], piece["error_code"]) for piece in pieces if piece["status"] == "failed") == [
        ("resources", "model_malformed"),
        ("tutorial", "model_refused"),
        ("tutorial", "model_too_long"),
        ("tutorial", "model_truncated"),
    ]
    await history.check()
