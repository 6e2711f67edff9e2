"""Resources whose links were checked: told to the model once, listed when left out, never called fine unseen."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from model_server import Call, ModelServer, answer, status
from pieces import Notebook

from roadmap.content.links import Verdict
from roadmap.content.model import Assignment, LinkCheck
from roadmap.content.resources import find_resources
from roadmap.errors import BudgetExceeded, Outage, Superseded, Unusable
from roadmap.llm.ask import Llm
from roadmap.llm.client import Endpoint, open_provider
from roadmap.llm.model import PlannedCall, Spent

NOW = datetime(2026, 8, 1, 12, 0, 0, tzinfo=UTC)
GOOD, OTHER, THIRD = "https://docs.python.org/3/", "https://realpython.com/", "https://peps.python.org/"
DEAD, GONE, INSIDE, DOUBTFUL = "https://a.org/dead", "https://a.org/gone", "https://b.org/inside", "https://c.org/slow"
CHECKS = {
    DEAD: LinkCheck.DEAD,
    GONE: LinkCheck.DEAD,
    INSIDE: LinkCheck.REFUSED,
    DOUBTFUL: LinkCheck.UNVERIFIED,
}


async def links(urls: Collection[str]) -> dict[str, Verdict]:
    """What asking would have shown."""
    return {url: Verdict(CHECKS.get(url, LinkCheck.VERIFIED), NOW) for url in urls}


def naming(*urls: str) -> Any:
    common = {"title": "A page", "kind": "documentation", "language": "en", "why": "It is complete."}
    return answer({"resources": [{**common, "url": url} for url in urls]})


def checks(body: dict[str, Any]) -> dict[str, str]:
    return {resource["url"]: resource["check"] for resource in body["resources"]}


def told(call: Call) -> dict[str, Any]:
    """The input of the prompt."""
    user = next(message["content"] for message in call.messages if message["role"] == "user")
    return dict(orjson.loads(user.removeprefix("<input>").removesuffix("</input>")))


async def test_links_that_are_there_or_in_doubt_are_kept_and_marked(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(naming(GOOD, DOUBTFUL))

    body = await find_resources(llm, links, assignment)

    assert checks(body) == {GOOD: "verified", DOUBTFUL: "unverified"}
    assert {resource["checked_at"] for resource in body["resources"]} == {"2026-08-01T12:00:00Z"}
    assert body["rejected"] == []
    assert len(server.calls) == 1
    assert "rejected" not in told(server.calls[0])


async def test_dead_and_refused_links_are_told_to_the_model_once_and_replaced(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(naming(DEAD, GOOD, INSIDE), naming(OTHER, THIRD))

    body = await find_resources(llm, links, assignment)

    assert checks(body) == dict.fromkeys((GOOD, OTHER, THIRD), "verified")
    assert body["rejected"] == [{"url": DEAD, "check": "dead"}, {"url": INSIDE, "check": "refused"}]
    first, second = map(told, server.calls)
    assert second == {
        **first,
        "kept": [GOOD],
        "rejected": [
            {"url": DEAD, "why": "there is no such page"},
            {"url": INSIDE, "why": "it does not lead, all the way by https, to a public web site"},
        ],
    }
    assert [call.purpose for call in server.calls] == ["resources"] * 2
    assert len(llm.spent) == 2


async def test_what_is_still_dead_is_left_out_and_listed(server: ModelServer, llm: Llm, assignment: Assignment) -> None:
    server.script(naming(GOOD, DEAD), naming(GONE, DEAD, GOOD, DOUBTFUL))

    body = await find_resources(llm, links, assignment)

    assert checks(body) == {GOOD: "verified", DOUBTFUL: "unverified"}
    assert body["rejected"] == [{"url": DEAD, "check": "dead"}, {"url": GONE, "check": "dead"}]
    assert len(server.calls) == 2, "the model is told once"


async def test_a_second_answer_may_save_a_first_that_was_all_wrong(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(naming(DEAD), naming(GOOD))

    assert checks(await find_resources(llm, links, assignment)) == {GOOD: "verified"}


async def test_without_a_single_usable_link_there_are_no_resources(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(naming(DEAD, INSIDE), naming(GONE))

    with pytest.raises(Unusable) as caught:
        await find_resources(llm, links, assignment)
    assert caught.value.code == "no_resources"
    assert len(llm.spent) == 2


async def test_no_more_than_eight_are_kept(server: ModelServer, llm: Llm, assignment: Assignment) -> None:
    server.script(
        naming(DEAD, *(f"https://a.org/{number}" for number in range(7))),
        naming(*(f"https://b.org/{number}" for number in range(7))),
    )

    body = await find_resources(llm, links, assignment)

    assert list(checks(body))[6:] == ["https://a.org/6", "https://b.org/0"]


async def test_a_second_answer_that_cannot_be_used_costs_nothing_of_the_first(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(naming(GOOD, DEAD), *[answer("no idea")] * 3)

    body = await find_resources(llm, links, assignment)

    assert (checks(body), body["rejected"]) == ({GOOD: "verified"}, [{"url": DEAD, "check": "dead"}])
    assert [spent.error for spent in llm.spent] == [None, *["model_malformed"] * 3]


async def test_a_second_answer_that_cannot_be_used_after_nothing_usable_says_why(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(naming(DEAD), *[answer("no idea")] * 3)

    with pytest.raises(Unusable) as caught:
        await find_resources(llm, links, assignment)
    assert caught.value.code == "model_malformed"


async def test_a_provider_that_goes_away_before_the_second_answer_costs_nothing_of_the_first(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(naming(GOOD, DEAD), status(503))

    body = await find_resources(llm, links, assignment)

    assert (checks(body), body["rejected"]) == ({GOOD: "verified"}, [{"url": DEAD, "check": "dead"}])


async def test_a_provider_that_goes_away_after_nothing_usable_is_waited_for(
    server: ModelServer, llm: Llm, assignment: Assignment
) -> None:
    server.script(naming(DEAD), status(429, {"retry-after": "7"}))

    with pytest.raises(Outage) as caught:
        await find_resources(llm, links, assignment)
    assert caught.value.retry_in == 7


class OneCall(Notebook):
    """There is no second call."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def reserve(self, call: PlannedCall, _finished: Sequence[Spent] = ()) -> UUID:
        if self.rows:
            raise self._error
        return await super().reserve(call, _finished)


async def test_no_second_call_is_made_for_work_that_is_no_longer_wanted(
    server: ModelServer, assignment: Assignment
) -> None:
    server.script(naming(GOOD, DEAD), naming(OTHER))

    async with open_provider(Endpoint("small", server.url, timeout=5)) as provider:
        with pytest.raises(Superseded):
            await find_resources(Llm(provider, OneCall(Superseded("lost"))), links, assignment)
    assert len(server.calls) == 1


async def test_money_that_is_spent_before_the_second_call_costs_nothing_of_the_first_answer(
    server: ModelServer, assignment: Assignment
) -> None:
    server.script(naming(GOOD, DEAD), naming(DEAD))

    async with open_provider(Endpoint("small", server.url, timeout=5)) as provider:
        body = await find_resources(Llm(provider, OneCall(BudgetExceeded("spent"))), links, assignment)
        assert (checks(body), body["rejected"]) == ({GOOD: "verified"}, [{"url": DEAD, "check": "dead"}])
        with pytest.raises(BudgetExceeded):
            await find_resources(Llm(provider, OneCall(BudgetExceeded("spent"))), links, assignment)
    assert len(server.calls) == 2
