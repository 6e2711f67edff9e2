"""The whole URL table of the API."""

from roadmap.api.operation import Operation
from roadmap.api.pages import PageQuery
from roadmap.content import endpoints as content
from roadmap.events import endpoints as events
from roadmap.execution_log import endpoints as log
from roadmap.monitor import dead_jobs
from roadmap.monitor import endpoints as monitor
from roadmap.roadmaps import endpoints as roadmaps
from roadmap.runs import endpoints as runs

__all__ = ["OPERATIONS"]

ROADMAP = "/v1/roadmaps/{roadmap_id}"
CONCEPT = ROADMAP + "/concepts/{concept_id}"
ADMIN = "/v1/admin"
DEAD_JOBS = ADMIN + "/dead-jobs"
QUEUE = ADMIN + "/queues/{queue_name}"

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
        "POST", ROADMAP + "/complete", runs.complete_roadmap, "Make what a roadmap lacks", runs.CompletionModel, 202,
        body=runs.CompleteRoadmap, headers=("Idempotency-Key",),
    ),
    Operation(
        "GET", CONCEPT + "/tutorial", content.read_tutorial, "Read a tutorial", content.PieceAnswer,
        query=content.VersionQuery, other_media_types=("text/markdown",),
    ),
    Operation(
        "GET", CONCEPT + "/resources", content.read_resources, "Read the resources", content.ResourcesPieceAnswer,
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
    Operation(
        "GET", DEAD_JOBS, dead_jobs.list_dead_jobs, "List dead jobs", dead_jobs.DeadJobsAnswer,
        query=dead_jobs.DeadJobsQuery, operator=True,
    ),
    Operation(
        "POST", DEAD_JOBS + "/retry", dead_jobs.retry_dead_jobs, "Retry dead jobs", dead_jobs.OutcomeAnswer,
        body=dead_jobs.SelectDeadJobs, operator=True,
    ),
    Operation(
        "POST", DEAD_JOBS + "/discard", dead_jobs.discard_dead_jobs, "Discard dead jobs", dead_jobs.OutcomeAnswer,
        body=dead_jobs.SelectDeadJobs, operator=True,
    ),
    Operation(
        "GET", DEAD_JOBS + "/{dead_job_id}", dead_jobs.read_dead_job, "Read a dead job", dead_jobs.DeadJobAnswer,
        operator=True,
    ),
    Operation(
        "GET", ADMIN + "/overview", monitor.read_overview, "See all at a glance", monitor.OverviewAnswer,
        operator=True,
    ),
    Operation("GET", ADMIN + "/workers", monitor.list_workers, "List processes", monitor.WorkersAnswer, operator=True),
    Operation("GET", ADMIN + "/queues", monitor.list_queues, "Show the queues", monitor.QueuesAnswer, operator=True),
    Operation(
        "GET", QUEUE + "/jobs", monitor.list_queued_jobs, "List the jobs of a queue", monitor.JobsAnswer, operator=True,
    ),
    Operation("POST", QUEUE + "/pause", monitor.pause_queue, "Pause a queue", monitor.PauseAnswer, operator=True),
    Operation("POST", QUEUE + "/resume", monitor.resume_queue, "Resume a queue", monitor.PauseAnswer, operator=True),
    Operation(
        "GET", ADMIN + "/functions", monitor.list_functions, "Show what jobs took", monitor.FunctionsAnswer,
        operator=True,
    ),
    Operation(
        "GET", ADMIN + "/runs", monitor.list_all_runs, "List everybody's runs", monitor.RunsAnswer,
        query=monitor.RunsQuery, operator=True,
    ),
    Operation(
        "GET", ADMIN + "/runs/{run_id}", monitor.read_any_run, "Read all of a run", monitor.RunAnswer, operator=True,
    ),
    Operation(
        "POST", ADMIN + "/runs/{run_id}/cancel", monitor.cancel_any_run, "Cancel anybody's run", monitor.RunAnswer,
        operator=True,
    ),
    Operation(
        "GET", ADMIN + "/roadmaps/{roadmap_id}", monitor.read_tree, "Read a roadmap as a tree", monitor.TreeAnswer,
        operator=True,
    ),
    Operation(
        "POST", ADMIN + "/roadmaps/{roadmap_id}/complete", monitor.complete_any_roadmap,
        "Make what anybody's roadmap lacks", monitor.RunAnswer, 202, operator=True,
    ),
    Operation(
        "GET", ADMIN + "/failures", monitor.list_failures, "Show what failed, by fault", monitor.FailuresAnswer,
        operator=True,
    ),
    Operation("GET", ADMIN + "/model", monitor.read_model, "Show the model's use", monitor.ModelAnswer, operator=True),
    Operation("GET", ADMIN + "/system", monitor.read_system, "Show the servers", monitor.SystemAnswer, operator=True),
    Operation(
        "GET", ADMIN + "/audit", monitor.list_audit, "List what operators did", monitor.AuditAnswer,
        query=monitor.AuditQuery, operator=True,
    ),
)  # fmt: skip
