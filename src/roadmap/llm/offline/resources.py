"""The resources of a concept: the pack's, in the learner's language first, each with a reason."""

from typing import Any

from roadmap.llm.offline.pack import Both, Resource
from roadmap.llm.offline.topic import Topic

__all__ = ["name_resources"]

_WHY = {
    "documentation": Both("The reference to have open when you {aim}", "官方参考资料；练习这一项时放在手边查：{aim}"),
    "article": Both("A short read that helps you to {aim}", "一篇短文，帮助你做到：{aim}"),
    "video": Both("Shows it being done, so that you can {aim}", "看别人实际演示，然后自己做到：{aim}"),
    "course": Both("A guided way, with exercises, to {aim}", "带练习的系统讲解，目标是：{aim}"),
    "book": Both("Goes deeper than this tutorial where you have to {aim}", "比本教程更深入，适合用来掌握：{aim}"),
    "practice": Both("Gives you tasks on which to {aim}", "提供练习题，让你动手做到：{aim}"),
}
_TIME = Both(" (about {minutes} minutes)", "（约 {minutes} 分钟）")
_LONGEST_AIM = 250


def name_resources(topic: Topic) -> dict[str, Any]:
    """The fields of `ResourcesAnswer`."""
    mine = [resource for resource in topic.concept.resources if _suits(resource, topic.language)]
    known = mine or list(topic.concept.resources)
    first = sorted(known, key=lambda resource: not resource.language.startswith(topic.language))
    return {"resources": [_write(resource, topic, place) for place, resource in enumerate(first)]}


def _suits(resource: Resource, language: str) -> bool:
    """The pack's own languages are the readers'; one in the language that is being learned suits everybody. English is
    read by many who write another."""
    return resource.language.startswith((language, "en")) or not resource.language.startswith(("en", "zh"))


def _write(resource: Resource, topic: Topic, place: int) -> dict[str, Any]:
    return {
        "title": resource.title,
        "url": resource.url,
        "kind": resource.kind,
        "language": resource.language,
        "why": _why(resource, topic, place),
    }


def _why(resource: Resource, topic: Topic, place: int) -> str:
    """Names one of the concept's own objectives, a different one for each resource."""
    aims = topic.concept.objectives.of(topic.language)
    aim = aims[place % len(aims)].rstrip(".。")[:_LONGEST_AIM]
    sentence = _WHY[resource.kind].of(topic.language).format(aim=_lower(aim))
    end = "。" if topic.language == "zh" else "."
    return f"{sentence}{_TIME.of(topic.language).format(minutes=resource.minutes)}{end}"


def _lower(aim: str) -> str:
    """An objective starts with a verb, which stands in the middle of the sentence here."""
    return aim if aim[:2].isupper() else aim[:1].lower() + aim[1:]
