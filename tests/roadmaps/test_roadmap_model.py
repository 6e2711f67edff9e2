"""Plans and wishes come back from JSON as they went in."""

import orjson
from hypothesis import given
from hypothesis import strategies as st
from plan_making import chain

from roadmap.roadmaps.model import Concept, Format, Kind, LearnerLevel, Module, Size, Stage, Structure, Wishes

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
concepts = st.builds(
    Concept,
    id=text,
    key=text,
    title=text,
    summary=text,
    minutes=st.integers(0, 600),
    requires=st.lists(text, max_size=2).map(tuple),
    objectives=st.lists(text, max_size=2).map(tuple),
)
modules = st.builds(Module, id=text, title=text, concepts=st.lists(concepts, max_size=2).map(tuple))
stages = st.builds(Stage, id=text, title=text, modules=st.lists(modules, max_size=2).map(tuple))
structures = st.builds(Structure, title=text, summary=text, stages=st.lists(stages, max_size=2).map(tuple))

wishes = st.builds(
    Wishes,
    goal=text,
    level=...,
    hours_per_week=st.none() | st.integers(1, 168),
    deadline=...,
    background=text,
    motivation=text,
    formats=st.lists(st.sampled_from(Format)).map(tuple),
    language=text,
    size=...,
    kinds=st.lists(st.sampled_from(Kind)).map(tuple),
)


@given(structures)
def test_a_structure_survives_its_way_through_json(structure: Structure) -> None:
    assert Structure.load(orjson.loads(orjson.dumps(structure.dump()))) == structure


@given(wishes)
def test_wishes_survive_their_way_through_json(wished: Wishes) -> None:
    assert Wishes.load(wished.goal, orjson.loads(orjson.dumps(wished.preferences()))) == wished


def test_preferences_of_a_newer_version_are_left_out() -> None:
    stored = {**Wishes("Learn SQL", level=LearnerLevel.BEGINNER).preferences(), "pace": "brisk", "load": 1}

    assert Wishes.load("Learn SQL", stored) == Wishes("Learn SQL", level=LearnerLevel.BEGINNER)


def test_preferences_of_an_older_version_get_the_defaults() -> None:
    loaded = Wishes.load("Learn SQL", {"language": "de"})

    assert (loaded.language, loaded.size, loaded.kinds, loaded.level) == ("de", Size.MEDIUM, tuple(Kind), None)


def test_the_goal_is_no_preference() -> None:
    assert "goal" not in Wishes("Learn SQL").preferences()


def test_concepts_come_in_the_order_of_study_with_their_places() -> None:
    structure = chain(25)

    assert [item.id for item in structure.concepts()] == [f"c{n}" for n in range(25)]
    assert [(pointer, item.id) for pointer, item in structure.places()][20:22] == [
        ("/stages/0/modules/2/concepts/0", "c20"),
        ("/stages/0/modules/2/concepts/1", "c21"),
    ]
    assert structure.minutes() == 25 * 60
