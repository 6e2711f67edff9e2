"""What operators see: one function for each page."""

from roadmap.monitor.service.failures import list_audit, list_dead, list_failures, read_dead
from roadmap.monitor.service.overview import read_overview
from roadmap.monitor.service.queues import read_functions, read_jobs, read_queues, read_workers
from roadmap.monitor.service.runs import list_runs, read_roadmap, read_run
from roadmap.monitor.service.system import read_model, read_system

__all__ = [
    "list_audit",
    "list_dead",
    "list_failures",
    "list_runs",
    "read_dead",
    "read_functions",
    "read_jobs",
    "read_model",
    "read_overview",
    "read_queues",
    "read_roadmap",
    "read_run",
    "read_system",
    "read_workers",
]
