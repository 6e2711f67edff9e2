"""Budgets: what a call can cost at most, what it counts, and who is let in. Never exceeded by more than one call."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest
from answers import Notebook, Plan
from model_server import Behaviour, ModelServer, answer, garbage, large, model_server, reset, stall, status
from pydantic import SecretStr
from spending import MOST, Learner, Work, add_learner, cost, planned
from structlog.testing import capture_logs
from zoo import GOOD

from roadmap.database import Database, Pool, open_database
from roadmap.errors import BudgetExceeded, NotYet, Outage, Superseded, Unusable
from roadmap.llm.ask import Llm
from roadmap.llm.budget import Budget, Weighed, spent_today
from roadmap.llm.client import Endpoint, open_provider
from roadmap.llm.ledger import settle
from roadmap.llm.model import Prompt, Usage
from roadmap.provider import open_model
from roadmap.queue.client import open_queue
from roadmap.settings import Settings

PROMPT = Prompt("outline", "You plan. 你好", 'Plan SQL "for" six\nweeks.', max_tokens=900)
PRICES = {"input_price": 250_000, "output_price": 2_000_000}
LIMIT = 1_000
ROADMAP = Budget(roadmap=LIMIT)
DAY = Budget(learner_day=LIMIT)
ROUNDS = 20
RENAMED = status(400, {}, {"error": {"message": "Unsupported parameter: use 'max_completion_tokens' instead."}})


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as running:
        yield running


@pytest.fixture
async def learner(database: Database) -> Learner:
    return await add_learner(database)


@pytest.fixture
async def piece(learner: Learner) -> Work:
    (only,) = await learner.pieces(1)
    return only


async def test_the_bound_of_a_call_is_what_its_bytes_and_its_limit_can_cost(server: ModelServer) -> None:
    server.script(status(400), status(400), RENAMED, answer(GOOD))
    async with open_provider(Endpoint("small", server.url, **PRICES)) as provider:
        notebook = Notebook()
        await Llm(provider, notebook).ask(PROMPT, Plan)
        expected = [
            provider.price(
                Usage(
                    int(call.headers["content-length"]),
                    call.body.get("max_tokens") or call.body["max_completion_tokens"],
                )
            )
            for call in server.calls
        ]
    bounds = [call.most_micros for call in notebook.planned.values()]
    assert bounds == expected
    assert len(bounds) == 4
    assert bounds[3] > bounds[0] + 16_000 * 2 - 1_000, "thoughts count against the limit, and are paid for"


async def test_a_model_without_prices_needs_no_bound(server: ModelServer) -> None:
    server.script(answer(GOOD))
    async with open_provider(Endpoint("small", server.url)) as provider:
        notebook = Notebook()
        await Llm(provider, notebook).ask(PROMPT, Plan)
    assert [call.most_micros for call in notebook.planned.values()] == [0]


@pytest.fixture
def closed_port() -> Iterator[str]:
    """Bound and not listening: every connection is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


MAY_BE_BILLED = [
    pytest.param(stall(), id="a time-out"),
    pytest.param(stall(after=b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"), id="a time-out within the body"),
    pytest.param(reset(), id="a reset within the body"),
    pytest.param(reset(in_body=False), id="a reset before the answer"),
    pytest.param(garbage(), id="a proxy's page"),
    pytest.param(garbage(b'{"choices": []}'), id="no choices"),
    pytest.param(answer("Joins", finish_reason="error"), id="broken off by the provider"),
    pytest.param(large(5 * 1024 * 1024), id="too large to be read"),
]
FREE = [
    pytest.param(status(429), id="too many"),
    pytest.param(status(500), id="an error"),
    pytest.param(status(401), id="a refused key"),
    pytest.param(status(413), id="a refusal"),
    pytest.param(garbage(b'{"error": {"code": 502, "message": "upstream"}}'), id="an error under 200"),
]


async def _costs(endpoint: Endpoint) -> tuple[int, int]:
    """What the ledger is told of a call that fails, and what it could cost at most."""
    notebook = Notebook()
    async with open_provider(endpoint) as provider:
        llm = Llm(provider, notebook)
        with pytest.raises((Outage, Unusable)):
            await llm.write(PROMPT)
    (spent,), (call,) = llm.spent, notebook.planned.values()
    assert call.most_micros > 0
    return spent.cost_micros, call.most_micros


@pytest.mark.parametrize("behaviour", MAY_BE_BILLED)
async def test_what_may_be_billed_untold_counts_its_bound(server: ModelServer, behaviour: Behaviour) -> None:
    server.default = lambda _: behaviour
    counted, most = await _costs(Endpoint("small", server.url, timeout=0.4, **PRICES))
    assert counted == most


@pytest.mark.parametrize("behaviour", FREE)
async def test_what_the_provider_refused_counts_nothing(server: ModelServer, behaviour: Behaviour) -> None:
    server.default = lambda _: behaviour
    counted, _ = await _costs(Endpoint("small", server.url, timeout=5, **PRICES))
    assert counted == 0


async def test_a_provider_that_was_not_reached_costs_nothing(closed_port: str) -> None:
    counted, _ = await _costs(Endpoint("small", closed_port, timeout=5, **PRICES))
    assert counted == 0


async def test_every_call_is_written_down_with_its_bound_and_its_learner(learner: Learner, piece: Work) -> None:
    call_id = await piece.reserve(77)
    row = await learner.db.fetchrow("SELECT reserved_micros, user_id FROM model_calls WHERE id = $1", call_id)
    assert row is not None
    assert tuple(row) == (77, learner.id)


async def test_a_call_without_a_budget_waits_for_nobody(database: Database, learner: Learner, piece: Work) -> None:
    """It is one statement, which takes no lock of the learner."""
    async with database.transaction() as tx:
        await tx.fetch("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", learner.id)
        async with asyncio.timeout(3):
            await piece.reserve()
            await piece.ledger(ROADMAP).reserve(planned(0))


@pytest.mark.parametrize(("budget", "name"), [(ROADMAP, "this roadmap's budget"), (DAY, "your budget for a day")])
async def test_a_budget_that_is_spent_ends_the_work(piece: Work, budget: Budget, name: str) -> None:
    await piece.spend(LIMIT)
    with pytest.raises(BudgetExceeded, match=name) as caught:
        await piece.ledger(budget).reserve(planned(1))
    assert caught.value.code == "budget_exceeded"
    assert "1000 of 1000 micro-dollars" in str(caught.value)
    assert await piece.weighed() == Weighed(LIMIT, 0), "nothing was reserved"


@pytest.mark.parametrize("budget", [ROADMAP, DAY])
async def test_the_last_call_may_lead_above_the_limit_and_none_follows(piece: Work, budget: Budget) -> None:
    await piece.spend(LIMIT - 1)
    last = await piece.ledger(budget).reserve(planned(500))
    with pytest.raises(NotYet) as caught:
        await piece.ledger(budget).reserve(planned(1))
    assert 0.5 <= caught.value.retry_in <= 20
    await settle(piece.db, [cost(last, 500)])
    with pytest.raises(BudgetExceeded):
        await piece.ledger(budget).reserve(planned(1))


async def test_what_a_call_did_not_use_is_free_again(piece: Work) -> None:
    call = await piece.ledger(ROADMAP).reserve(planned(LIMIT))
    await settle(piece.db, [cost(call, 10)])
    await piece.ledger(ROADMAP).reserve(planned(LIMIT))
    assert await piece.weighed() == Weighed(10, LIMIT)


async def test_the_earlier_rounds_of_the_same_work_are_not_in_its_way(piece: Work) -> None:
    ledger = piece.ledger(ROADMAP)
    first = await ledger.reserve(planned(LIMIT))
    await ledger.reserve(planned(LIMIT), [cost(first, 10)])
    assert await piece.weighed() == Weighed(10, LIMIT)


async def test_a_round_of_repair_sees_what_the_one_before_has_cost(server: ModelServer, piece: Work) -> None:
    server.script(answer("no"), answer(GOOD))
    async with open_provider(Endpoint("small", server.url, **PRICES)) as provider:
        llm = Llm(provider, piece.ledger(Budget(roadmap=200)))
        await llm.ask(PROMPT, Plan)
    assert [spent.cost_micros for spent in llm.spent] == [125, 125]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE content SET claim = claim + 1",
        "UPDATE content SET status = 'pending'",
        "UPDATE content SET status = 'ready'",
        "UPDATE content SET run_id = (SELECT id FROM runs WHERE status = 'succeeded' LIMIT 1)",
        "UPDATE runs SET status = 'canceled', finished_at = now() WHERE finished_at IS NULL",
    ],
)
async def test_a_call_that_was_given_up_counts_as_dear_as_it_can_have_been(piece: Work, change: str) -> None:
    await piece.reserve()
    assert await piece.weighed() == Weighed(0, MOST)
    await piece.db.execute(change)
    assert await piece.weighed() == Weighed(MOST, 0)


@pytest.mark.parametrize("change", ["claim = claim + 1", "claimed_by = NULL", "status = 'writing'"])
async def test_a_drafts_call_that_was_given_up_counts_as_dear_as_it_can_have_been(
    learner: Learner, change: str
) -> None:
    draft = await learner.draft()
    await draft.reserve()
    assert await draft.weighed() == Weighed(0, MOST)
    await draft.db.execute(f"UPDATE runs SET {change} WHERE id = $1", draft.run_id)
    assert await draft.weighed() == Weighed(MOST, 0)


async def test_earlier_runs_of_the_roadmap_count_and_other_roadmaps_do_not(learner: Learner) -> None:
    roadmap_id = await learner.roadmap()
    (earlier,) = await learner.pieces(1, roadmap_id)
    await earlier.spend(600)
    await earlier.reserve(50)
    await learner.db.execute("UPDATE runs SET status = 'incomplete', finished_at = now() WHERE id = $1", earlier.run_id)
    (piece,) = await learner.pieces(1, roadmap_id)
    (other,) = await learner.pieces(1)
    await other.spend(5)
    assert await piece.weighed() == Weighed(650, 0)
    await piece.spend(350)
    with pytest.raises(BudgetExceeded):
        await piece.ledger(ROADMAP).reserve(planned(1))
    await other.ledger(ROADMAP).reserve(planned(1))


async def test_a_day_counts_all_roadmaps_of_a_learner_and_nothing_else(database: Database, learner: Learner) -> None:
    (first,), (second,) = await learner.pieces(1), await learner.pieces(1)
    (others,) = await (await add_learner(database)).pieces(1)
    yesterday = await first.spend(LIMIT)
    await database.execute(
        "UPDATE model_calls SET created_at = date_trunc('day', now(), 'UTC') - interval '1 second' WHERE id = $1",
        yesterday,
    )
    await others.spend(LIMIT)
    await second.spend(400)
    assert await spent_today(database, learner.id) == Weighed(400, 0)
    await first.ledger(DAY).reserve(planned(600))
    with pytest.raises(NotYet):
        await second.ledger(DAY).reserve(planned(1))


async def test_both_budgets_hold_at_once(piece: Work) -> None:
    await piece.spend(500)
    for budget in (Budget(roadmap=500, learner_day=LIMIT), Budget(roadmap=LIMIT, learner_day=500)):
        with pytest.raises(BudgetExceeded):
            await piece.ledger(budget).reserve(planned(1))
    await piece.ledger(Budget(roadmap=LIMIT, learner_day=LIMIT)).reserve(planned(1))


async def test_a_budget_does_not_stand_in_for_a_claim(piece: Work) -> None:
    with pytest.raises(Superseded):
        await piece.ledger(ROADMAP, claim=2).reserve(planned())


async def test_work_whose_roadmap_is_gone_gets_no_call(piece: Work) -> None:
    await piece.db.execute("DELETE FROM users")
    with pytest.raises(Superseded):
        await piece.ledger(ROADMAP).reserve(planned())


async def test_the_more_pieces_wait_the_later_each_comes_back(learner: Learner) -> None:
    pieces = await learner.pieces(200)
    await pieces[0].reserve(LIMIT)
    pauses = []
    for piece in pieces[1:6]:
        with pytest.raises(NotYet) as caught:
            await piece.ledger(ROADMAP).reserve(planned())
        pauses.append(caught.value.retry_in)
    assert all(7 <= pause <= 13 for pause in pauses)
    assert len(set(pauses)) == 5, "they do not all come at once"


class Caller:
    """Makes calls for one piece while the budget lasts; each ends in its own way."""

    def __init__(self, piece: Work, db: Database, budget: Budget, seed: int) -> None:
        self._piece = piece
        self._db = db
        self._budget = budget
        self._random = random.Random(seed)
        self._claim = 1
        self.highest = 0

    async def call_until_it_is_spent(self) -> None:
        while True:
            try:
                call_id = await self._piece.ledger(self._budget, claim=self._claim, db=self._db).reserve(planned())
            except BudgetExceeded:
                return
            except NotYet:
                await asyncio.sleep(self._random.uniform(0.005, 0.02))
                continue
            weighed = await self._piece.weighed()
            self.highest = max(self.highest, weighed.spent + weighed.held)
            await self._end(call_id)

    async def _end(self, call_id: UUID) -> None:
        """Settled for less than was reserved, or given up as by a worker that died."""
        await asyncio.sleep(self._random.uniform(0, 0.01))
        if self._random.random() < 0.2:
            self._claim += 1
            query = "UPDATE content SET claim = $2 WHERE concept_id = $1"
            await self._db.execute(query, self._piece.concept_id, self._claim)
            return
        await settle(self._db, [cost(call_id, self._random.randint(0, MOST))])


@pytest.mark.parametrize("budget", [ROADMAP, DAY])
async def test_fifty_callers_at_once_exceed_no_budget_by_more_than_one_call(
    database: Database, database_url: str, budget: Budget
) -> None:
    async with open_database(Pool(database_url, size=4, name="second")) as second:
        for number in range(ROUNDS):
            pieces = await (await add_learner(database)).pieces(50)
            callers = [
                Caller(piece, (database, second)[place % 2], budget, 50 * number + place)
                for place, piece in enumerate(pieces)
            ]
            await asyncio.gather(*(caller.call_until_it_is_spent() for caller in callers))
            weighed = await pieces[0].weighed()
            assert weighed.held == 0
            assert LIMIT <= weighed.spent <= LIMIT - 1 + MOST, f"round {number}"
            assert max(caller.highest for caller in callers) <= LIMIT - 1 + MOST, f"round {number}"


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({"learner_daily_micros": 5}, True),
        ({"learner_daily_micros": 5, "llm_output_price": 1}, False),
        ({}, False),
    ],
)
async def test_a_budget_that_nobody_can_count_is_told_of_at_the_start(
    server: ModelServer, given: dict[str, int], warned: bool
) -> None:
    settings = Settings(llm_base_url=server.url, llm_api_key=SecretStr("a-key"), **given)
    with capture_logs() as logs:
        async with open_queue("redis://127.0.0.1:1/0") as queue, open_model(settings, queue):
            pass
    assert [entry["event"] for entry in logs] == ["budget_without_prices"] * warned
