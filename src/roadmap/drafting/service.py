"""Drafting as a list of durable steps: what has committed is not asked of the model again."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from roadmap.drafting.model import Critique, Intent, Outline
from roadmap.drafting.outline import give_ids, shape_outline
from roadmap.errors import Unusable
from roadmap.llm.ask import Llm
from roadmap.llm.prompts import load_prompt
from roadmap.roadmaps.hours import budget_minutes, fit_minutes
from roadmap.roadmaps.model import SIZES, LearnerLevel, Structure, Wishes
from roadmap.roadmaps.rules import Limits, Report, Severity, check_plan

__all__ = ["Plan", "PlanRejected", "Step", "draft_plan"]

ROUNDS = 3
DEFAULT_HOURS_PER_WEEK = 5

T = TypeVar("T", bound=BaseModel)


class Step(Protocol):
    """Runs `work` once per run and key, and returns the committed output ever after."""

    async def __call__(self, key: str, output: type[T], work: Callable[[Llm], Awaitable[T]]) -> T: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """An accepted plan. `critique` tells what the model thought of it: approved, open issues, or that it is missing."""

    structure: Structure
    level: LearnerLevel
    report: Report
    critique: dict[str, Any]


class PlanRejected(Unusable):
    """No round gave a plan that obeys the rules; `report` is the last one."""

    def __init__(self, report: Report) -> None:
        errors = [finding.message for finding in report.findings if finding.severity is Severity.ERROR]
        super().__init__("plan_rejected", f"no plan obeyed the rules: {errors[0]}")
        self.report = report


async def draft_plan(step: Step, wishes: Wishes, today: date) -> Plan:
    """Intent, outline, then up to ROUNDS rounds of rules, critique and revision.

    Raises PlanRejected when every round breaks a rule, Unusable when the model gives no outline at all, and
    whatever the steps raise (Outage, Superseded).
    """
    intent = await step("intent", Intent, lambda llm: _ask_intent(llm, wishes, today))
    order = _Order.place(wishes, intent, today)
    outline = await step("outline", Outline, lambda llm: _ask_outline(llm, order))
    accepted: _Draft | None = None
    for number in range(1, ROUNDS + 1):
        draft = await _review(step, order, outline, number)
        # A revision may break what was sound: the last draft that obeyed the rules is never given up for it.
        accepted = draft if draft.report.passed else accepted
        if draft.critique["status"] in {"approved", "missing"}:
            break
        if number < ROUNDS:
            outline = await _revise(step, order, draft)
        if outline == draft.outline:  # the model would not revise: it has nothing better
            break
    if accepted is None:
        raise PlanRejected(draft.report)
    return Plan(give_ids(accepted.structure), order.level, accepted.report, accepted.critique)


@dataclass(frozen=True, slots=True)
class _Draft:
    """One round's proposal and what was found in it."""

    number: int
    outline: Outline
    structure: Structure
    report: Report
    critique: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Order:
    """The learner's wishes with every gap filled: by the intent where it read something, else by a default."""

    wishes: Wishes
    intent: Intent
    level: LearnerLevel
    hours_per_week: int
    limits: Limits

    @classmethod
    def place(cls, wishes: Wishes, intent: Intent, today: date) -> "_Order":
        hours = wishes.hours_per_week or intent.hours_per_week or DEFAULT_HOURS_PER_WEEK
        budget = budget_minutes(hours, weeks=intent.weeks, today=today, deadline=wishes.deadline)
        size = SIZES[wishes.size]
        return cls(
            wishes=wishes,
            intent=intent,
            level=wishes.level or intent.level,
            hours_per_week=hours,
            limits=Limits(fewest=size.fewest, most=size.most, budget=budget),
        )

    def variables(self) -> dict[str, Any]:
        return {
            "goal": self.wishes.goal,
            "title": self.intent.title,
            "summary": self.intent.summary,
            "level": self.level,
            "language": self.wishes.language,
            "hours_per_week": self.hours_per_week,
            "weeks": self.intent.weeks,
            "budget_minutes": self.limits.budget,
            "fewest": self.limits.fewest,
            "most": self.limits.most,
            "background": self.wishes.background,
            "formats": self.wishes.formats,
        }


async def _ask_intent(llm: Llm, wishes: Wishes, today: date) -> Intent:
    said = asdict(wishes)
    variables = {name: said[name] for name in said if name not in {"size", "kinds"}}
    return await llm.ask(load_prompt(__package__, "intent", {**variables, "today": today}, max_tokens=1_000), Intent)


async def _ask_outline(llm: Llm, order: _Order) -> Outline:
    return await llm.ask(load_prompt(__package__, "outline", order.variables(), max_tokens=16_000), Outline)


async def _review(step: Step, order: _Order, outline: Outline, number: int) -> _Draft:
    structure = fit_minutes(shape_outline(outline), order.limits.budget)
    report = check_plan(structure, order.limits)
    # A plan that breaks a rule is mended first: an opinion about it would be moot.
    critique = await _criticise(step, order, outline, report, number) if report.passed else {"status": "skipped"}
    return _Draft(number, outline, structure, report, critique)


async def _criticise(step: Step, order: _Order, outline: Outline, report: Report, number: int) -> dict[str, Any]:
    """What the model thinks of the plan. A critique that cannot be had is missing, and never counts as a pass."""
    try:
        critique = await step(f"critique-{number}", Critique, lambda llm: _ask_critique(llm, order, outline, report))
    except Unusable as exc:
        return {"status": "missing", "code": exc.code}
    status = "issues" if critique.verdict == "revise" else "approved"
    return {"status": status, "issues": [issue.model_dump() for issue in critique.issues]}


async def _ask_critique(llm: Llm, order: _Order, outline: Outline, report: Report) -> Critique:
    variables = {
        "goal": order.wishes.goal,
        "level": order.level,
        "language": order.wishes.language,
        "plan": outline.model_dump(),
        "rules": report.dump(),
    }
    return await llm.ask(load_prompt(__package__, "critique", variables, max_tokens=3_000), Critique)


async def _revise(step: Step, order: _Order, draft: _Draft) -> Outline:
    """A better outline; the old one when the model gives none and the rules are content with what there is.

    That is committed as well: the critique of the next round would else be taken for one of a later, other answer.
    """

    async def revise(llm: Llm) -> Outline:
        try:
            return await _ask_revision(llm, order, draft)
        except Unusable:
            if not draft.report.passed:
                raise
            return draft.outline

    return await step(f"revise-{draft.number}", Outline, revise)


async def _ask_revision(llm: Llm, order: _Order, draft: _Draft) -> Outline:
    findings = [*(asdict(finding) for finding in draft.report.findings), *draft.critique.get("issues", ())]
    variables = {**order.variables(), "plan": draft.outline.model_dump(), "findings": findings}
    return await llm.ask(load_prompt(__package__, "revise", variables, max_tokens=16_000), Outline)
