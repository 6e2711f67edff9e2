"""Turns a proposed outline into a structure that the rules can check, and gives it ids once it is accepted."""

from dataclasses import replace

from roadmap.drafting.model import Outline, OutlineConcept, OutlineModule, OutlineStage
from roadmap.ids import Prefix, new_id, show_id
from roadmap.roadmaps.model import Concept, Module, Stage, Structure

__all__ = ["give_ids", "shape_outline"]


def shape_outline(outline: Outline) -> Structure:
    """The outline as a structure whose concepts still go by the model's keys."""
    return Structure(
        title=outline.title,
        summary=outline.summary,
        stages=tuple(_shape_stage(stage) for stage in outline.stages),
    )


def give_ids(structure: Structure) -> Structure:
    """New ids for every part; prerequisites follow. The structure must have passed the rules (keys are unique)."""
    ids = {concept.id: show_id(Prefix.CONCEPT, new_id()) for concept in structure.concepts()}

    def name(concept: Concept) -> Concept:
        requires = tuple(dict.fromkeys(ids[key] for key in concept.requires))
        return replace(concept, id=ids[concept.id], requires=requires)

    named = structure.map_concepts(name)
    return replace(named, stages=tuple(_name_stage(stage) for stage in named.stages))


def _shape_stage(stage: OutlineStage) -> Stage:
    return Stage(id="", title=stage.title, modules=tuple(_shape_module(module) for module in stage.modules))


def _shape_module(module: OutlineModule) -> Module:
    return Module(id="", title=module.title, concepts=tuple(_shape_concept(concept) for concept in module.concepts))


def _shape_concept(concept: OutlineConcept) -> Concept:
    return Concept(
        id=concept.key,
        key=concept.key,
        title=concept.title,
        summary=concept.summary,
        minutes=concept.minutes,
        requires=tuple(concept.requires),
        objectives=tuple(concept.objectives),
    )


def _name_stage(stage: Stage) -> Stage:
    modules = tuple(replace(module, id=show_id(Prefix.MODULE, new_id())) for module in stage.modules)
    return replace(stage, id=show_id(Prefix.STAGE, new_id()), modules=modules)
