"""From a goal to an accepted plan, against a real local provider that answers as it is told."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from drafts import APPROVED, DISLIKED, INTENT, ISSUE, Memory, outline
from model_server import ModelServer, answer

from roadmap.drafting.service import PlanRejected, draft_plan
from roadmap.errors import Outage, Superseded, Unusable
from roadmap.ids import Prefix, parse_id
from roadmap.roadmaps.model import LearnerLevel, Size, Wishes

TODAY = date(2026, 3, 2)
WISHES = Wishes("Learn SQL", size=Size.SMALL)
LOOPED = outline(c0=["c5"])


def play(server: ModelServer, **answers: list[object]) -> None:
    """Scripts the intent, and the answers for every other purpose."""
    server.script(answer(INTENT), purpose="intent")
    for purpose, bodies in answers.items():
        server.script(*map(answer, bodies), purpose=purpose)


def purposes(server: ModelServer) -> list[str]:
    return [call.purpose for call in server.calls]


async def test_a_good_outline_is_accepted_at_once(server: ModelServer, step: Memory) -> None:
    play(server, outline=[outline()], critique=[APPROVED])

    plan = await draft_plan(step, WISHES, TODAY)

    assert purposes(server) == ["intent", "outline", "critique"]
    assert list(step.outputs) == ["intent", "outline", "critique-1"]
    assert (plan.structure.title, plan.level) == ("SQL", LearnerLevel.BEGINNER)
    assert (plan.report.passed, plan.report.score) == (True, 100)
    assert plan.critique == {"status": "approved", "issues": []}
    assert len(step.ledger.rows) == 3


async def test_a_plan_that_breaks_a_rule_is_revised_before_anyone_judges_it(server: ModelServer, step: Memory) -> None:
    play(server, outline=[LOOPED], revise=[outline(title="Better")], critique=[APPROVED])

    plan = await draft_plan(step, WISHES, TODAY)

    assert purposes(server) == ["intent", "outline", "revise", "critique"]
    assert plan.structure.title == "Better"
    told = server.calls[2].messages[1]["content"]
    assert '"rule":"cycle"' in told
    assert '"rule":"prerequisite_not_earlier"' in told


async def test_three_rounds_that_break_a_rule_reject_the_plan_with_the_last_report(
    server: ModelServer, step: Memory
) -> None:
    play(server, outline=[LOOPED], revise=[outline(4), outline(3)])

    with pytest.raises(PlanRejected) as caught:
        await draft_plan(step, WISHES, TODAY)

    assert purposes(server) == ["intent", "outline", "revise", "revise"]
    assert caught.value.code == "plan_rejected"
    assert str(caught.value) == "no plan obeyed the rules: the plan has 3 concepts; wanted are 5 to 14"
    assert [finding.rule for finding in caught.value.report.findings] == ["plan_size"]


async def test_a_critique_that_cannot_be_had_is_missing_and_no_approval(server: ModelServer, step: Memory) -> None:
    play(server, outline=[outline()], critique=["no", "no", "no"])

    plan = await draft_plan(step, WISHES, TODAY)

    assert plan.critique == {"status": "missing", "code": "model_malformed"}
    assert "critique-1" not in step.outputs


async def test_a_plan_that_the_critic_dislikes_is_revised(server: ModelServer, step: Memory) -> None:
    play(server, outline=[outline()], critique=[DISLIKED, APPROVED], revise=[outline(7)])

    plan = await draft_plan(step, WISHES, TODAY)

    assert purposes(server) == ["intent", "outline", "critique", "revise", "critique"]
    assert "Joins come too late." in server.calls[3].messages[1]["content"]
    assert len(plan.structure.concepts()) == 7
    assert plan.critique["status"] == "approved"


async def test_after_the_last_round_open_issues_are_told_and_do_not_reject(server: ModelServer, step: Memory) -> None:
    play(server, outline=[outline()], critique=[DISLIKED] * 3, revise=[outline(7), outline(8)])

    plan = await draft_plan(step, WISHES, TODAY)

    assert plan.critique == {"status": "issues", "issues": [ISSUE]}
    assert len(plan.structure.concepts()) == 8


async def test_an_unusable_revision_leaves_the_plan_that_obeys_the_rules(server: ModelServer, step: Memory) -> None:
    play(server, outline=[outline()], critique=[DISLIKED], revise=["no", "no", "no"])

    plan = await draft_plan(step, WISHES, TODAY)

    assert len(plan.structure.concepts()) == 6
    assert plan.critique["status"] == "issues", "and the same plan is not criticised again"


async def test_a_critique_is_never_taken_for_that_of_another_plan(server: ModelServer, step: Memory) -> None:
    play(server, outline=[outline()], critique=[DISLIKED, APPROVED], revise=["no", "no", "no", outline(7)])
    before = await draft_plan(step, WISHES, TODAY)
    asked = len(server.calls)

    # The process died before it could commit the plan.
    after = await draft_plan(step, WISHES, TODAY)

    assert len(server.calls) == asked
    assert [item.key for item in after.structure.concepts()] == [item.key for item in before.structure.concepts()]


async def test_an_unusable_revision_of_a_plan_that_breaks_a_rule_fails(server: ModelServer, step: Memory) -> None:
    play(server, outline=[LOOPED], revise=["no", "no", "no"])

    with pytest.raises(Unusable) as caught:
        await draft_plan(step, WISHES, TODAY)
    assert caught.value.code == "model_malformed"


@pytest.mark.parametrize("purpose", ["intent", "outline"])
async def test_without_a_usable_answer_there_is_no_plan(server: ModelServer, step: Memory, purpose: str) -> None:
    if purpose == "outline":
        play(server)

    with pytest.raises(Unusable):
        await draft_plan(step, WISHES, TODAY)
    assert server.count(purpose=purpose) == 3


@pytest.mark.parametrize("key", ["intent", "outline", "revise-1", "critique-2", "revise-2", "critique-3"])
async def test_after_a_crash_no_finished_step_is_asked_again(server: ModelServer, step: Memory, key: str) -> None:
    play(server, outline=[LOOPED], revise=[outline(), outline(7)], critique=[DISLIKED, APPROVED])
    step.dies_before = key
    with pytest.raises(Outage):
        await draft_plan(step, WISHES, TODAY)
    step.dies_before = None

    plan = await draft_plan(step, WISHES, TODAY)

    assert len(plan.structure.concepts()) == 7
    assert purposes(server) == ["intent", "outline", "revise", "critique", "revise", "critique"]


async def test_a_run_that_has_ended_asks_nothing(server: ModelServer, step: Memory) -> None:
    step.ledger.active = False

    with pytest.raises(Superseded):
        await draft_plan(step, WISHES, TODAY)
    assert server.calls == []


async def test_every_part_gets_an_id_of_its_own_and_prerequisites_follow(server: ModelServer, step: Memory) -> None:
    play(server, outline=[outline(c3=["c1", "c0", "c1"])], critique=[APPROVED])

    structure = (await draft_plan(step, WISHES, TODAY)).structure

    concepts = structure.concepts()
    modules = [module for stage in structure.stages for module in stage.modules]
    ids = {
        *(parse_id(Prefix.CONCEPT, concept.id) for concept in concepts),
        *(parse_id(Prefix.MODULE, module.id) for module in modules),
        *(parse_id(Prefix.STAGE, stage.id) for stage in structure.stages),
    }
    assert len(ids) == 6 + 2 + 2
    assert [concept.key for concept in concepts] == [f"c{n}" for n in range(6)]
    assert concepts[3].requires == (concepts[1].id, concepts[0].id)
    assert concepts[5].requires == (concepts[4].id,)


async def test_minutes_are_fitted_to_the_deadline(server: ModelServer, step: Memory) -> None:
    play(server, outline=[outline(minutes=100)], critique=[APPROVED])
    wishes = replace(WISHES, hours_per_week=8, deadline=TODAY + timedelta(weeks=1))

    plan = await draft_plan(step, wishes, TODAY)

    assert {concept.minutes for concept in plan.structure.concepts()} == {80}
    assert '"budget_minutes":480' in server.calls[1].messages[1]["content"]


async def test_minutes_are_fitted_to_the_weeks_that_the_goal_names(server: ModelServer, step: Memory) -> None:
    server.script(answer({**INTENT, "weeks": 2, "hours_per_week": 4}), purpose="intent")
    play(server, outline=[outline(minutes=100)], critique=[APPROVED])

    plan = await draft_plan(step, WISHES, TODAY)

    assert plan.structure.minutes() == 480


async def test_too_much_for_the_time_is_taken_back_to_the_model(server: ModelServer, step: Memory) -> None:
    play(server, outline=[outline(14, minutes=300)], revise=[outline(5, minutes=90)], critique=[APPROVED])
    wishes = replace(WISHES, hours_per_week=8, deadline=TODAY + timedelta(weeks=1))

    plan = await draft_plan(step, wishes, TODAY)

    assert '"rule":"over_budget"' in server.calls[2].messages[1]["content"]
    assert plan.structure.minutes() == 450


async def test_wishes_win_over_what_is_read_from_the_goal(server: ModelServer, step: Memory) -> None:
    server.script(answer({**INTENT, "level": "beginner", "hours_per_week": 20, "weeks": 1}), purpose="intent")
    play(server, outline=[outline(minutes=100)], critique=[APPROVED])
    wishes = replace(WISHES, level=LearnerLevel.ADVANCED, hours_per_week=8)

    plan = await draft_plan(step, wishes, TODAY)

    assert plan.level is LearnerLevel.ADVANCED
    assert plan.structure.minutes() == 480
    told = server.calls[1].messages[1]["content"]
    assert '"level":"advanced"' in told
    assert '"hours_per_week":8' in told


async def test_without_wishes_or_words_five_hours_a_week_are_assumed(server: ModelServer, step: Memory) -> None:
    server.script(answer({**INTENT, "weeks": 1}), purpose="intent")
    play(server, outline=[outline(minutes=60)], critique=[APPROVED])

    plan = await draft_plan(step, WISHES, TODAY)

    assert plan.structure.minutes() == 300


async def test_absurd_minutes_are_mended_and_crash_nothing(server: ModelServer, step: Memory) -> None:
    absurd = outline(c1=["c0"])
    absurd["stages"][0]["modules"][0]["concepts"][0]["minutes"] = 123456789
    huge = str(absurd).replace("'", '"').replace("123456789", "9" * 400)
    play(server, outline=[huge, outline()], critique=[APPROVED])

    plan = await draft_plan(step, replace(WISHES, deadline=TODAY + timedelta(weeks=60)), TODAY)

    assert plan.structure.minutes() == 360


async def test_a_plan_that_obeyed_the_rules_is_not_lost_to_revisions_that_do_not(
    server: ModelServer, step: Memory
) -> None:
    looped = outline(c0=["c5"])
    server.script(answer(INTENT), purpose="intent")
    server.script(answer(outline()), purpose="outline")
    server.script(answer(DISLIKED), purpose="critique")
    server.script(answer(looped), answer(looped), purpose="revise")

    plan = await draft_plan(step, Wishes("Learn SQL", size=Size.SMALL), date(2026, 3, 2))

    assert plan.report.passed
    assert plan.critique["status"] == "issues"
