"""The whole URL table of the API."""

from roadmap.api.operation import Operation
from roadmap.api.pages import PageQuery
from roadmap.content import endpoints as content
from roadmap.events import endpoints as events
from roadmap.execution_log import endpoints as log
from roadmap.roadmaps import endpoints as roadmaps
from roadmap.runs import endpoints as runs

__all__ = ["OPERATIONS"]

ROADMAP = "/v1/roadmaps/{roadmap_id}"
CONCEPT = ROADMAP + "/concepts/{concept_id}"

OPERATIONS = (
    Operation(
        "POST", "/v1/roadmaps", runs.create_roadmap, "Create a roadmap", runs.CreatedModel, 202,
        body=runs.CreateRoadmap, headers=("Idempotency-Key",),
    ),
    Operation(
        "GET", "/v1/roadmaps", roadmaps.list_roadmaps, "List your roadmaps", roadmaps.RoadmapList,
        query=roadmaps.ListQuery,
    ),
    Operation("GET", ROADMAP, roadmaps.read_roadmap, "Read a roadmap with its plan", roadmaps.RoadmapModel),
    Operation(
        "GET", ROADMAP + "/events", events.read_events, "Follow or page through events", events.EventPage,
        query=events.EventsQuery, headers=("Last-Event-ID",), other_media_types=("text/event-stream",),
        empty=True,
    ),
    Operation("GET", ROADMAP + "/log", log.read_log, "Read the execution log", log.LogPage, query=log.LogQuery),
    Operation("GET", ROADMAP + "/runs", runs.list_runs, "List a roadmap's runs", runs.RunList, query=PageQuery),
    Operation(
        "GET", CONCEPT + "/tutorial", content.read_tutorial, "Read a tutorial", content.PieceAnswer,
        query=content.VersionQuery, other_media_types=("text/markdown",),
    ),
    Operation(
        "GET", CONCEPT + "/resources", content.read_resources, "Read the resources", content.PieceAnswer,
        query=content.VersionQuery,
    ),
    Operation(
        "GET", CONCEPT + "/quiz", content.read_quiz, "Read a quiz, without its key", content.PieceAnswer,
        query=content.VersionQuery,
    ),
    Operation("GET", "/v1/runs/{run_id}", runs.read_run, "Read a run with its steps", runs.RunDetail),
    Operation(
        "POST", "/v1/runs/{run_id}/cancel", runs.cancel_run, "Cancel a run", runs.RunModel,
        headers=("Idempotency-Key",),
    ),
)  # fmt: skip
