"""Asking: rounds of repair, dialects, and an honest ledger for every call."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from answers import Notebook, Plan
from model_server import ModelServer, answer, model_server, reset, stall, status
from structlog.testing import capture_logs
from zoo import GOOD, PLAN

from roadmap.errors import Outage, Superseded, Unusable
from roadmap.llm.ask import Llm
from roadmap.llm.client import Endpoint, Provider, open_provider
from roadmap.llm.model import Prompt

PROMPT = Prompt("outline", "You plan.", "Plan SQL for six weeks.", max_tokens=900)
TUTORIAL = Prompt("tutorial", "You teach.", "Teach joins.")


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as running:
        yield running


@pytest.fixture
async def provider(server: ModelServer) -> AsyncIterator[Provider]:
    endpoint = Endpoint("small", server.url, "sk-secret", timeout=5, input_price=1_000_000, output_price=2_000_000)
    async with open_provider(endpoint) as opened:
        yield opened


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def llm(provider: Provider, notebook: Notebook) -> Llm:
    return Llm(provider, notebook)


async def test_a_good_answer_takes_one_call(server: ModelServer, llm: Llm, notebook: Notebook) -> None:
    server.script(answer(GOOD))

    plan = await llm.ask(PROMPT, Plan)

    assert plan.model_dump(mode="json") == PLAN
    form = server.calls[0].body["response_format"]
    assert (form["type"], form["json_schema"]["name"], form["json_schema"]["strict"]) == (
        "json_schema",
        "outline",
        True,
    )
    assert form["json_schema"]["schema"]["additionalProperties"] is False
    (spent,) = llm.spent
    assert (spent.outcome, spent.error, spent.finish_reason) == ("ok", None, "stop")
    assert (spent.input_tokens, spent.output_tokens, spent.cost_micros) == (100, 50, 200)
    (planned,) = notebook.planned.values()
    assert (planned.purpose, planned.provider, planned.model, planned.round) == ("outline", "127.0.0.1", "small", 0)
    assert list(notebook.planned) == [spent.call_id]


async def test_a_bad_answer_comes_back_with_its_faults(server: ModelServer, llm: Llm, notebook: Notebook) -> None:
    bad = GOOD.replace("90", "9000").replace("beginner", "newbie")
    server.script(answer(f"<think>{'hm ' * 9000}</think>{bad}"), answer("no"), answer(GOOD))

    await llm.ask(PROMPT, Plan)

    first, second, third = (call.messages for call in server.calls)
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    assert second[:2] == first
    assert second[2]["content"] == bad, "thoughts are not sent back"
    assert "- concepts.0.minutes: Input should be less than or equal to 600" in second[3]["content"]
    assert "- level: Input should be 'beginner' or 'advanced'" in second[3]["content"]
    assert [message["content"] for message in third][2] == "no", "only the last answer is sent back"
    assert [call.round for call in notebook.planned.values()] == [0, 1, 2]
    assert len({call.prompt_hash for call in notebook.planned.values()}) == 1
    assert [spent.error for spent in llm.spent] == ["model_malformed", "model_malformed", None]
    assert [spent.outcome for spent in llm.spent] == ["unusable", "unusable", "ok"]


@pytest.mark.fault("F19")
async def test_repair_ends_after_two_further_rounds(server: ModelServer, llm: Llm) -> None:
    server.default = lambda _: answer("x" * 500_000)

    with pytest.raises(Unusable) as caught:
        await llm.ask(PROMPT, Plan)

    assert caught.value.code == "model_malformed"
    assert len(server.calls) == len(llm.spent) == 3
    assert [len(call.messages[2]["content"]) for call in server.calls[1:]] == [4000, 4000]


async def test_the_rules_of_the_domain_are_fed_back_and_end_in_their_own_code(server: ModelServer, llm: Llm) -> None:
    def check(plan: Plan) -> Sequence[str]:
        return [
            f"concept {number}: {concept.title} needs a verb " * 100 for number, concept in enumerate(plan.concepts)
        ] * 40

    server.default = lambda _: answer(GOOD)

    with pytest.raises(Unusable) as caught:
        await llm.ask(PROMPT, Plan, check)

    assert caught.value.code == "model_rules"
    complaint = server.calls[1].messages[3]["content"]
    assert complaint.count("\n- concept") == 20
    assert len(complaint) < 7000
    assert [spent.error for spent in llm.spent] == ["model_rules"] * 3


@pytest.mark.fault("F19")
async def test_a_truncated_answer_is_asked_for_again_and_shorter(server: ModelServer, llm: Llm) -> None:
    server.script(answer(GOOD, finish_reason="length"), answer(GOOD))

    await llm.ask(PROMPT, Plan)

    assert "shorter" in server.calls[1].messages[3]["content"]
    assert [(spent.finish_reason, spent.error) for spent in llm.spent] == [
        ("length", "model_truncated"),
        ("stop", None),
    ]


async def test_an_empty_answer_is_not_sent_back_as_a_message(server: ModelServer, llm: Llm) -> None:
    server.script(answer(None), answer(GOOD))

    await llm.ask(PROMPT, Plan)

    assert [message["role"] for message in server.calls[1].messages] == ["system", "user"]
    assert server.calls[1].messages[1]["content"].startswith("Plan SQL for six weeks.\n\nYour last answer")


@pytest.mark.fault("F19")
async def test_a_refusal_is_final(server: ModelServer, llm: Llm) -> None:
    server.script(answer(None, refusal="I cannot help with that."))

    with pytest.raises(Unusable) as caught:
        await llm.ask(PROMPT, Plan)

    assert caught.value.code == "model_refused"
    assert len(server.calls) == 1


async def test_an_outage_leaves_at_once_and_is_written_down(server: ModelServer, llm: Llm) -> None:
    server.script(answer("no"), reset())

    with pytest.raises(Outage):
        await llm.ask(PROMPT, Plan)

    assert [(spent.outcome, spent.error) for spent in llm.spent] == [
        ("unusable", "model_malformed"),
        ("outage", "provider_outage"),
    ]


async def test_a_provider_that_asks_us_to_wait_is_told_apart_from_one_that_is_away(
    server: ModelServer, llm: Llm
) -> None:
    server.script(status(429))

    with pytest.raises(Outage):
        await llm.ask(PROMPT, Plan)

    assert [(spent.outcome, spent.error) for spent in llm.spent] == [("outage", "provider_busy")]


async def test_no_call_is_made_for_a_run_that_is_over(server: ModelServer, llm: Llm, notebook: Notebook) -> None:
    server.default = lambda _: answer("no")
    notebook.active = False

    with pytest.raises(Superseded):
        await llm.ask(PROMPT, Plan)

    assert server.calls == llm.spent == []


async def test_a_canceled_call_stays_open_in_the_ledger(server: ModelServer, llm: Llm, notebook: Notebook) -> None:
    server.script(stall())
    asking = asyncio.create_task(llm.ask(PROMPT, Plan))
    async with asyncio.timeout(5):
        while not server.calls:
            await asyncio.sleep(0.005)

    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(notebook.planned) == 1
    assert llm.spent == []


async def test_a_provider_without_schemas_is_asked_in_its_own_dialect(server: ModelServer, llm: Llm) -> None:
    server.script(status(400, {}, {"error": "json_schema?"}), status(422), answer(GOOD), answer(GOOD))

    await llm.ask(PROMPT, Plan)
    await llm.ask(PROMPT, Plan)

    assert [call.format for call in server.calls] == ["json_schema", "json_object", None, None]
    assert '"additionalProperties":false' in server.calls[3].messages[0]["content"]
    assert "additionalProperties" not in server.calls[0].messages[0]["content"]
    refused = "provider_refused_format"
    assert [spent.error for spent in llm.spent] == [refused, refused, None, None], "every call has its row"


async def test_a_model_that_renamed_the_limit_is_given_room_to_think(server: ModelServer, llm: Llm) -> None:
    renamed = {"error": {"message": "Unsupported parameter: use 'max_completion_tokens' instead."}}
    server.script(status(400, {}, renamed), answer("# Joins"), answer(GOOD))

    await llm.write(TUTORIAL)
    await llm.ask(PROMPT, Plan)

    assert [call.body.get("max_tokens") for call in server.calls] == [8000, None, None]
    assert [call.body.get("max_completion_tokens") for call in server.calls] == [None, 24_000, 16_900]
    assert server.calls[2].format == "json_schema", "the format was never in question"


async def test_a_request_that_is_refused_in_every_dialect_teaches_nothing(server: ModelServer, llm: Llm) -> None:
    server.script(status(400), status(400), status(400), answer(GOOD))

    with pytest.raises(Unusable) as caught:
        await llm.ask(PROMPT, Plan)
    await llm.ask(PROMPT, Plan)

    assert caught.value.code == "provider_refused"
    assert [call.format for call in server.calls] == ["json_schema", "json_object", None, "json_schema"]


async def test_a_provider_that_ignores_the_format_is_told_it_in_words(server: ModelServer, llm: Llm) -> None:
    server.script(answer("Start with SELECT."), answer(GOOD))

    await llm.ask(PROMPT, Plan)

    assert "JSON schema" in server.calls[1].messages[3]["content"]


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("# Joins\n\ntext\n", "# Joins\n\ntext"),
        ("<think>hm</think>\n# Joins", "# Joins"),
        ("I should…</think># Joins", "# Joins"),
        ("# Joins\n<think>unfinished", "# Joins"),
        ("```markdown\n# Joins\n```", "# Joins"),
        ("```\n# Joins\n\n```sql\nSELECT 1\n```\n```", "# Joins\n\n```sql\nSELECT 1\n```"),
        ("````md\n# Joins\n```\nx\n```\n````", "# Joins\n```\nx\n```"),
        ("```\na\n```\ntext\n```\nb\n```", "```\na\n```\ntext\n```\nb\n```"),
        ("```sql\nSELECT 1\n```", "```sql\nSELECT 1\n```"),
        ("\ufeff# Jo\0ins\ud800", "# Joins"),
    ],
)
async def test_markdown_comes_without_wrapping(server: ModelServer, llm: Llm, text: str, markdown: str) -> None:
    server.script(answer(text))

    assert await llm.write(TUTORIAL) == markdown
    assert "response_format" not in server.calls[0].body


@pytest.mark.parametrize(
    ("text", "reason", "code"),
    [
        ("", "stop", "model_empty"),
        ("<think>hm</think>", "stop", "model_empty"),
        ("<think>hm", "stop", "model_empty"),
        ("```\n\n```", "stop", "model_empty"),
        ("# Joins and", "length", "model_truncated"),
    ],
)
async def test_markdown_is_asked_for_once_more(
    server: ModelServer, llm: Llm, text: str, reason: str, code: str
) -> None:
    server.script(answer(text, finish_reason=reason), answer("# Joins"))
    assert await llm.write(TUTORIAL) == "# Joins"

    server.script(answer(text, finish_reason=reason), answer(text, finish_reason=reason))
    with pytest.raises(Unusable) as caught:
        await llm.write(TUTORIAL)

    assert caught.value.code == code
    assert [spent.error for spent in llm.spent] == [code, None, code, code]


async def test_neither_prompts_nor_answers_nor_keys_reach_diagnostics(server: ModelServer, llm: Llm) -> None:
    server.script(answer("no"), status(401, {}, {"error": {"message": "key sk-secret", "code": "invalid_api_key"}}))

    with capture_logs() as logs, pytest.raises(Unusable):
        await llm.ask(PROMPT, Plan)

    assert [entry["event"] for entry in logs] == ["model_call", "model_call_failed", "model_call"]
    assert logs[1]["reason"] == "invalid_api_key"
    for secret in ("sk-secret", "Plan SQL", "You plan", "'no'"):
        assert secret not in str(logs)
