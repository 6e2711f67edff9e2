"""The pack's files obey the rules that its reader takes for granted."""

import re
from importlib.resources import files
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import orjson
import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from roadmap.content.model import ResourceKind
from roadmap.llm.offline.pack import GENERIC, LEVELS, find_concept, load_index, load_subject

FOLDER = files("roadmap.llm.offline").joinpath("pack")
NAMES = sorted(file.name.removesuffix(".json") for file in FOLDER.iterdir())

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
Words = Annotated[str, StringConstraints(min_length=1, pattern=r"^\S(.*\S)?$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^\S(.*\S)?$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class BothTitles(Strict):
    en: Title
    zh: Title


class BothTexts(Strict):
    en: Annotated[str, Field(min_length=20)]
    zh: Annotated[str, Field(min_length=10)]


class Keywords(Strict):
    en: Annotated[list[Words], Field(min_length=8, max_length=20)]
    zh: Annotated[list[Words], Field(min_length=6, max_length=15)]


class Three(Strict):
    en: Annotated[list[Words], Field(min_length=3, max_length=3)]
    zh: Annotated[list[Words], Field(min_length=3, max_length=3)]


class Four(Strict):
    en: Annotated[list[Words], Field(min_length=4, max_length=4)]
    zh: Annotated[list[Words], Field(min_length=4, max_length=4)]


class Five(Strict):
    en: Annotated[list[Words], Field(min_length=5, max_length=5)]
    zh: Annotated[list[Words], Field(min_length=5, max_length=5)]


class PackResource(Strict):
    title: Words
    url: str
    kind: Literal["documentation", "article", "video", "course", "book", "practice"]
    language: Literal["en", "zh", "es", "fr", "de", "ja"]
    minutes: Annotated[int, Field(ge=1, le=6_000)]


class PackConcept(Strict):
    id: Id
    title: BothTitles
    level: Literal["beginner", "intermediate", "advanced"]
    minutes: Annotated[int, Field(ge=30, le=240, multiple_of=15)]
    requires: list[Id]
    objectives: Three
    facts: Five
    myths: Four
    example: BothTexts
    practice: BothTexts
    resources: Annotated[list[PackResource], Field(min_length=2, max_length=3)]


class PackModule(Strict):
    title: BothTitles
    concepts: Annotated[list[PackConcept], Field(min_length=2, max_length=4)]


class PackStage(Strict):
    title: BothTitles
    modules: Annotated[list[PackModule], Field(min_length=2, max_length=4)]


class PackSubject(Strict):
    id: Id
    title: BothTitles
    summary: BothTexts
    keywords: Keywords
    stages: Annotated[list[PackStage], Field(min_length=3, max_length=4)]

    def concepts(self) -> list[PackConcept]:
        return [concept for stage in self.stages for module in stage.modules for concept in module.concepts]


def read(name: str) -> PackSubject:
    return PackSubject.model_validate(orjson.loads(FOLDER.joinpath(f"{name}.json").read_bytes()))


def test_the_pack_holds_ten_subjects_besides_the_generic_one() -> None:
    assert GENERIC in NAMES
    assert len(NAMES) >= 11
    assert set(load_index()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_subject_has_the_form_of_the_schema_and_enough_concepts(name: str) -> None:
    subject = read(name)
    assert subject.id == name
    assert len(subject.concepts()) >= 20
    assert 25 * 60 <= sum(concept.minutes for concept in subject.concepts()) <= 50 * 60


@pytest.mark.parametrize("name", NAMES)
def test_prerequisites_come_earlier_and_are_never_harder(name: str) -> None:
    levels: dict[str, int] = {}
    for concept in read(name).concepts():
        level = LEVELS.index(concept.level)
        assert concept.requires or not levels, f"{concept.id} requires nothing"
        assert len(set(concept.requires)) == len(concept.requires)
        for required in concept.requires:
            assert levels[required] <= level, f"{concept.id} is easier than {required}"
        levels[concept.id] = level


@pytest.mark.parametrize("name", NAMES)
def test_no_id_title_or_statement_is_used_twice(name: str) -> None:
    concepts = read(name).concepts()
    assert len({concept.id for concept in concepts}) == len(concepts)
    for language in ("en", "zh"):
        titles = [getattr(concept.title, language).casefold() for concept in concepts]
        assert len(set(titles)) == len(titles)
        said = [s for c in concepts for s in (*getattr(c.facts, language), *getattr(c.myths, language))]
        assert len(set(said)) == len(said)


@pytest.mark.parametrize("name", NAMES)
def test_chinese_texts_are_chinese_and_english_ones_are_not(name: str) -> None:
    for concept in read(name).concepts():
        for text in (*concept.facts.zh, *concept.myths.zh, concept.practice.zh, concept.example.zh):
            assert re.search(r"[\u4e00-\u9fff]", text), text
        for text in (*concept.facts.en, *concept.myths.en, concept.practice.en):
            assert not re.search(r"[\u4e00-\u9fff]", text), text


@pytest.mark.parametrize("name", NAMES)
def test_facts_and_myths_fit_into_a_quiz(name: str) -> None:
    for concept in read(name).concepts():
        for text in (*concept.facts.en, *concept.myths.en):
            assert 40 <= len(text) <= 200, text


@pytest.mark.parametrize("name", NAMES)
def test_resources_have_https_addresses_and_no_doubles(name: str) -> None:
    for concept in read(name).concepts():
        urls = [resource.url for resource in concept.resources]
        assert len(set(urls)) == len(urls), concept.id
        for url in urls:
            parts = urlsplit(url)
            assert parts.scheme == "https", url
            assert "." in str(parts.hostname), url
            assert url.isascii(), url
            assert not re.search(r"\s", url), url


@pytest.mark.parametrize("name", NAMES)
def test_every_module_has_a_resource_in_chinese(name: str) -> None:
    for stage in read(name).stages:
        for module in stage.modules:
            assert any(r.language == "zh" for concept in module.concepts for r in concept.resources), module.title.en


def test_resource_kinds_are_those_that_content_knows() -> None:
    kinds = {resource.kind for name in NAMES for concept in read(name).concepts() for resource in concept.resources}
    assert kinds <= set(ResourceKind)


def test_a_concept_is_found_by_its_key_and_by_its_title_in_either_language() -> None:
    concept = load_subject("sql").concepts()[3]
    assert find_concept(concept.key, "anything") is concept
    assert find_concept("", concept.title.en.upper()) is concept
    assert find_concept("renamed", concept.title.zh) is concept
    assert find_concept("sql-no-such-thing", "No such thing") is None


def test_keys_are_unique_over_the_pack_and_fit_the_outline() -> None:
    keys: list[Any] = [concept.key for name in NAMES for concept in load_subject(name).concepts()]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,79}", key) for key in keys)
