"""The whole table of the monitor's views."""

from starlette.routing import compile_path

from roadmap.errors import Invalid, NotFound
from roadmap.web.pages import readers, work
from roadmap.web.pages.frame import Ask, View

__all__ = ["VIEWS", "find_view"]

HOME = "/monitor"
FAILURES = HOME + "/failures"
MOST = 300  # characters of a parameter

VIEWS = (
    View(HOME, "Overview", "overview", "overview.html", readers.overview),
    View(HOME + "/queues", "Queues", "queues", "queues.html", readers.queues),
    View(HOME + "/queues/{queue}", "Queue", "queues", "queue.html", readers.queue),
    View(HOME + "/workers", "Workers", "workers", "workers.html", readers.workers),
    View(HOME + "/functions", "Functions", "functions", "functions.html", readers.functions),
    View(HOME + "/runs", "Runs", "runs", "runs.html", work.runs, work.RUN_ASKS),
    View(HOME + "/runs/{run_id}", "Run", "runs", "run.html", work.run),
    View(HOME + "/roadmaps/{roadmap_id}", "Roadmap", "runs", "roadmap.html", work.roadmap),
    View(FAILURES, "Failures", "failures", "failures.html", work.failures),
    View(FAILURES + "/jobs", "Dead jobs", "failures", "dead_jobs.html", work.dead_jobs, work.DEAD_ASKS),
    View(
        FAILURES + "/groups/{fingerprint}", "Fault", "failures", "dead_jobs.html", work.dead_jobs, work.DEAD_ASKS
    ),
    View(FAILURES + "/{dead_job_id}", "Dead job", "failures", "dead_job.html", work.dead_job),
    View(HOME + "/model", "Model and cost", "model", "model.html", readers.model),
    View(HOME + "/system", "System", "system", "system.html", readers.system),
    View(HOME + "/audit", "Audit log", "audit", "audit.html", work.audit, work.AUDIT_ASKS),
)  # fmt: skip
_PATTERNS = tuple((compile_path(view.path)[0], view) for view in VIEWS)


def find_view(path: str, query: dict[str, str]) -> tuple[View, Ask]:
    """Which view an address names. Raises NotFound for none. Parameters that it does not read are left out, so that
    who watches the same is found to do so."""
    for pattern, view in _PATTERNS:
        if found := pattern.match(path):
            known = {name: query[name][:MOST] for name in view.knows if query.get(name)}
            if any("\x00" in value for value in known.values()):
                raise Invalid("leave out null characters")
            return view, Ask(path, found.groupdict(), known)
    raise NotFound("no such page")
