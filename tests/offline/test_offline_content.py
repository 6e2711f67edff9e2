"""Tutorials, resources and quizzes over the whole pack."""

import re
import time
from collections import Counter

import orjson
import pytest
from asking import CONCEPTS, LANGUAGES, about, ask, write

from roadmap.content.model import QuestionKind, QuizAnswer, ResourcesAnswer
from roadmap.content.quiz import check_quiz
from roadmap.content.resources import check_resources
from roadmap.llm.offline.pack import Concept, Language, find_concept

LENGTHS = {"en": range(2_500, 5_001), "zh": range(900, 3_001)}


def quiz(concept: Concept, language: Language = "en") -> QuizAnswer:
    return QuizAnswer.model_validate(ask("quiz", **about(concept, language, tutorial="")))


def sql() -> Concept:
    found = find_concept("sql-joins-inner", "")
    assert found is not None
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_tutorial_has_a_readable_length_and_teaches_its_concept(language: Language) -> None:
    for concept in CONCEPTS:
        text = write(concept, language)
        assert len(text) in LENGTHS[language], (concept.key, len(text))
        assert text.startswith("# ")
        assert concept.example.of(language) in text
        assert not re.search(r"\{[a-z]+\}", text.replace(concept.example.of(language), "")), concept.key


def test_a_tutorial_names_goal_neighbours_and_author() -> None:
    text = write(sql(), goal="Run my shop")
    assert "“Run my shop”" in text
    assert "“What came before”" in text
    assert "“What comes after”" in text
    assert text.rstrip().endswith("no language model was asked.*")


def test_tutorials_are_put_together_in_different_ways() -> None:
    shapes = Counter(tuple(line for line in write(c).splitlines() if line.startswith("## ")) for c in CONCEPTS)
    assert len(shapes) >= 50
    assert shapes.most_common(1)[0][1] <= len(CONCEPTS) // 10


def test_every_myth_is_quoted_as_wrong_and_stands_nowhere_else() -> None:
    text = write(sql())
    for myth in sql().myths.en:
        line = next(line for line in text.splitlines() if myth in line)
        assert line.startswith(f"- “{myth}” ")
        assert text.count(myth) == 1


def test_markdown_in_a_goal_stays_text() -> None:
    text = write(sql(), goal="# Big\n<b>*SQL*</b> [now](http://example.com)")
    assert "\\<b\\>\\*SQL\\*" in text
    assert "[now]" not in text.replace("\\[now\\]", "")


def test_a_concept_that_the_pack_does_not_know_gets_a_tutorial_that_says_so() -> None:
    unknown = {"key": "juggling-cascade", "title": "The three-ball cascade", "minutes": 60, "objectives": ["Throw."]}
    text = write(sql(), concept=unknown)
    assert text.startswith("# The three-ball cascade\n\nThe offline model knows nothing about")
    asked = {**about(sql()), "concept": unknown}
    assert not check_quiz(QuizAnswer.model_validate(ask("quiz", **asked)))
    assert not check_resources(ResourcesAnswer.model_validate(ask("resources", **asked)))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_concept_has_resources_with_reasons_in_the_language_of_the_learner(language: Language) -> None:
    for concept in CONCEPTS:
        answer = ResourcesAnswer.model_validate(ask("resources", **about(concept, language)))
        assert not check_resources(answer)
        mine = [resource.language.startswith(language) for resource in answer.resources]
        assert mine == sorted(mine, reverse=True)
        assert len({resource.why for resource in answer.resources}) == len(answer.resources)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_quiz_passes_the_check_of_content(language: Language) -> None:
    for concept in CONCEPTS:
        answer = quiz(concept, language)
        assert not check_quiz(answer), concept.key
        assert len(answer.questions) == 5
        kinds = Counter(question.kind for question in answer.questions)
        assert kinds[QuestionKind.SINGLE] in {2, 3}
        assert kinds[QuestionKind.MULTIPLE] == 1
        assert kinds[QuestionKind.TRUE_FALSE] in {1, 2}


def test_the_key_of_a_quiz_follows_from_facts_and_myths() -> None:
    for concept in CONCEPTS:
        facts, myths = set(concept.facts.en), set(concept.myths.en)
        for question in quiz(concept).questions:
            right = {question.options[index] for index in question.correct}
            wrong = set(question.options) - right
            if question.kind is QuestionKind.TRUE_FALSE:
                claim = question.prompt.removeprefix("True or false? ")
                assert right == ({"True"} if claim in facts else {"False"})
                assert claim in facts | myths
            else:
                assert (right <= facts and wrong <= myths) or (right <= myths and wrong <= facts)


def test_the_explanation_of_a_question_names_a_fact() -> None:
    for concept in CONCEPTS:
        for question in quiz(concept).questions:
            assert any(fact in question.explanation for fact in concept.facts.en), question


@pytest.mark.parametrize("language", LANGUAGES)
def test_neither_length_nor_place_gives_the_right_option_away(language: Language) -> None:
    single = [q for c in CONCEPTS for q in quiz(c, language).questions if q.kind is QuestionKind.SINGLE]
    longest = sum(max(q.options, key=len) == q.options[q.correct[0]] for q in single)
    shortest = sum(min(q.options, key=len) == q.options[q.correct[0]] for q in single)
    places = Counter(q.correct[0] for q in single)
    assert 0.1 < longest / len(single) < 0.5
    assert 0.1 < shortest / len(single) < 0.5
    assert all(0.15 < places[place] / len(single) < 0.35 for place in range(4))


def test_true_and_false_are_right_about_equally_often() -> None:
    claims = [q for c in CONCEPTS for q in quiz(c).questions if q.kind is QuestionKind.TRUE_FALSE]
    assert 0.3 < sum(q.correct == [0] for q in claims) / len(claims) < 0.7


def test_true_false_options_are_words_of_the_learners_language() -> None:
    options = {tuple(q.options) for q in quiz(sql(), "zh").questions if q.kind is QuestionKind.TRUE_FALSE}
    assert options == {("对", "错")}


def test_the_same_concept_gives_the_same_bytes() -> None:
    for concept in CONCEPTS[:20]:
        assert write(concept) == write(concept)
        asked = about(concept)
        assert orjson.dumps(ask("quiz", **asked)) == orjson.dumps(ask("quiz", **asked))


def test_a_content_answer_costs_less_than_two_milliseconds_of_processor_time() -> None:
    write(sql())
    started = time.process_time()
    for concept in CONCEPTS[:100]:
        write(concept)
        ask("quiz", **about(concept))
        ask("resources", **about(concept))
    assert (time.process_time() - started) / 300 < 0.002
