"""Tutorials from a concept's facts, myths and example, put together in one of several ways that its key decides."""

from collections.abc import Callable
from typing import Any

from roadmap.llm.offline import phrases
from roadmap.llm.offline.corrections import Correction, closest
from roadmap.llm.offline.pack import Both
from roadmap.llm.offline.phrases import Variants
from roadmap.llm.offline.topic import Topic, choose, plain

__all__ = ["write_tutorial"]

_MARKS = Both((", ", " and ", "“{}”"), ("、", "和", "“{}”"))


def write_tutorial(topic: Topic) -> str:
    """Markdown that begins with a level-one heading and ends by saying who wrote it."""
    middle = choose(topic, "order", _ORDERS)
    parts = [_opening(topic), _aims(topic), *(write(topic) for write in middle), _practice(topic), _summary(topic)]
    return "\n\n".join([f"# {plain(topic.title)}", *parts, phrases.SIGNATURE.of(topic.language)]) + "\n"


def _opening(topic: Topic) -> str:
    """Ties the concept to the goal and to what came before."""
    builds = phrases.BUILDS_ON if topic.before else phrases.STARTS_FRESH
    sentences = [
        _say(topic, "opening", phrases.OPENING),
        _say(topic, "care", phrases.WHY_CARE),
        _say(topic, "builds", builds, names=_join(topic, topic.before)),
        _say(topic, "time", phrases.TIME, minutes=topic.minutes),
        phrases.LEVEL_ADVICE[topic.concept.level].of(topic.language),
    ]
    if topic.covered:
        return _flow(topic, sentences)
    way = plain(topic.concept.title.of(topic.language))
    missing = phrases.NOT_COVERED.of(topic.language).format(title=plain(topic.title), way=way)
    return f"{missing}\n\n{_flow(topic, sentences)}"


def _aims(topic: Topic) -> str:
    lines = "\n".join(f"- {plain(objective)}" for objective in topic.objectives)
    return f"{_heading(topic, 'aims')}\n\n{_say(topic, 'aims intro', phrases.AIMS_INTRO)}\n\n{lines}"


def _ideas(topic: Topic) -> str:
    tell = choose(topic, "way", _WAYS)
    return f"{_heading(topic, 'ideas')}\n\n{tell(topic)}"


def _tell_in_turn(topic: Topic) -> str:
    """A paragraph for each fact."""
    leads = phrases.LEADS.of(topic.language)
    told = [_flow(topic, [f"**{lead}**", fact]) for lead, fact in zip(leads, _facts(topic), strict=False)]
    return "\n\n".join([_say(topic, "telling", phrases.TELLING_INTRO), *told])


def _tell_as_list(topic: Topic) -> str:
    lines = "\n".join(f"{number}. {fact}" for number, fact in enumerate(_facts(topic), 1))
    intro, outro = _say(topic, "listed", phrases.LISTED_INTRO), _say(topic, "after list", phrases.LISTED_OUTRO)
    return f"{intro}\n\n{lines}\n\n{outro}"


def _tell_in_groups(topic: Topic) -> str:
    """What the concept is in one paragraph, then what else there is to know as a list."""
    first, second, *others = _facts(topic)
    core = _flow(topic, [_say(topic, "core", phrases.CORE), first, second])
    details = "\n".join(f"- {fact}" for fact in others)
    return f"{core}\n\n{_say(topic, 'details', phrases.DETAILS)}\n\n{details}"


def _tell_by_aim(topic: Topic) -> str:
    """Facts under the objective that they serve; those that serve none in particular come last."""
    concept = topic.concept
    places = [closest(fact, concept.objectives.en) for fact in concept.facts.en]
    facts = _facts(topic)
    parts = [_say(topic, "aimed", phrases.AIMED_INTRO)]
    for number, objective in enumerate(concept.objectives.of(topic.language)):
        served = [fact for fact, place in zip(facts, places, strict=True) if place == number]
        if served:
            parts.append(f"**{plain(objective)}** " + _flow(topic, served))
    rest = [fact for fact, place in zip(facts, places, strict=True) if place is None]
    if len(rest) > 2:
        return _tell_in_groups(topic)
    if rest:
        parts.append(_flow(topic, [_say(topic, "aimed rest", phrases.AIMED_REST), *rest]))
    return "\n\n".join(parts)


def _example(topic: Topic) -> str:
    intro, outro = _say(topic, "example", phrases.EXAMPLE_INTRO), _say(topic, "after example", phrases.EXAMPLE_OUTRO)
    return f"{_heading(topic, 'example')}\n\n{intro}\n\n{topic.concept.example.of(topic.language)}\n\n{outro}"


def _errors(topic: Topic) -> str:
    """Each myth named as wrong, with the fact that corrects it where there is one."""
    concept = topic.concept
    pairs = zip(concept.myths.of(topic.language), concept.corrections, strict=True)
    lines = [_refute(topic, number, *pair) for number, pair in enumerate(pairs)]
    intro = _say(topic, "errors", phrases.ERRORS_INTRO)
    return "\n\n".join([f"{_heading(topic, 'errors')}\n\n{intro}", "\n".join(lines), _doubt(topic)]).rstrip()


def _refute(topic: Topic, number: int, myth: str, correction: Correction) -> str:
    wrong = _say(topic, f"wrong {number % 2}", phrases.WRONG)
    quoted = _MARKS.of(topic.language)[2].format(_prose(myth))
    if not correction.certain:
        return "- " + _flow(topic, [quoted, wrong])
    right = _say(topic, "put right", phrases.PUT_RIGHT) + _prose(
        topic.concept.facts.of(topic.language)[correction.fact]
    )
    return "- " + _flow(topic, [quoted, wrong, right])


def _doubt(topic: Topic) -> str:
    return (
        _say(topic, "wrong alone", phrases.WRONG_ALONE) if any(not c.certain for c in topic.concept.corrections) else ""
    )


def _practice(topic: Topic) -> str:
    exercise = _prose(topic.concept.practice.of(topic.language))
    outro = _say(topic, "after practice", phrases.PRACTICE_OUTRO)
    return f"{_heading(topic, 'practice')}\n\n{exercise}\n\n{outro}"


def _summary(topic: Topic) -> str:
    facts = _facts(topic)
    other = choose(topic, "kept", tuple(facts[1:]))
    intro = _say(topic, "summary", phrases.SUMMARY_INTRO)
    following = phrases.NEXT if topic.after else phrases.LAST
    onward = _say(topic, "next", following, names=_join(topic, topic.after))
    return f"{_heading(topic, 'summary')}\n\n{intro}\n\n- {facts[0]}\n- {other}\n\n{onward}"


_ORDERS: tuple[tuple[Callable[[Topic], str], ...], ...] = (
    (_ideas, _example, _errors),
    (_ideas, _errors, _example),
    (_example, _ideas, _errors),
)
_WAYS: tuple[Callable[[Topic], str], ...] = (_tell_in_turn, _tell_as_list, _tell_by_aim)


def _heading(topic: Topic, section: str) -> str:
    return f"## {choose(topic, section, phrases.HEADINGS[section].of(topic.language))}"


def _say(topic: Topic, slot: str, variants: Variants, **parts: Any) -> str:
    form = choose(topic, slot, variants.of(topic.language))
    # Nothing may be said of a title that the pack does not know.
    title = topic.title if topic.covered else topic.concept.title.of(topic.language)
    return form.format(title=plain(title), goal=plain(topic.goal), **parts)


def _facts(topic: Topic) -> list[str]:
    return [_prose(fact) for fact in topic.concept.facts.of(topic.language)]


def _prose(text: str) -> str:
    """The pack's plain text, in which `code` between backticks is the only Markdown."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return plain(text)
    return "`".join(piece if place % 2 else plain(piece) for place, piece in enumerate(pieces))


def _flow(topic: Topic, sentences: list[str]) -> str:
    """One paragraph; Chinese puts no space between sentences."""
    return ("" if topic.language == "zh" else " ").join(sentences)


def _join(topic: Topic, titles: tuple[str, ...]) -> str:
    comma, last, quoted = _MARKS.of(topic.language)
    names = [quoted.format(plain(title)) for title in titles]
    return comma.join(names[:-1]) + last + names[-1] if len(names) > 1 else "".join(names)
