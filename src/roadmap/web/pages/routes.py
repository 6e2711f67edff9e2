"""The whole table of the monitor's pages."""

from roadmap.accounts.model import Role
from roadmap.web.pages import actions, sign_in
from roadmap.web.pages.access import SIGN_IN, Page
from roadmap.web.pages.assets import STATIC, read_asset
from roadmap.web.pages.endpoints import show_view, stream_view
from roadmap.web.pages.frame import LIVE
from roadmap.web.pages.views import VIEWS

__all__ = ["PAGES"]

ACTIONS = "/monitor/actions"

# Who may see or do what; role None: anybody. A learner is nobody here.
PAGES = (
    Page("GET", STATIC, read_asset, None),
    Page("GET", SIGN_IN, sign_in.show_sign_in, None),
    Page("POST", SIGN_IN, sign_in.sign_in, None),
    Page("POST", "/monitor/sign-out", sign_in.sign_out, Role.VIEWER),
    *(Page("GET", view.path, show_view) for view in VIEWS),
    Page("GET", LIVE, stream_view),
    Page("POST", ACTIONS + "/dead-jobs/retry", actions.retry_dead_jobs, Role.OPERATOR),
    Page("POST", ACTIONS + "/dead-jobs/discard", actions.discard_dead_jobs, Role.OPERATOR),
    Page("POST", ACTIONS + "/runs/{run_id}/cancel", actions.cancel_run, Role.OPERATOR),
    Page("POST", ACTIONS + "/roadmaps/{roadmap_id}/complete", actions.complete_roadmap, Role.OPERATOR),
    Page("POST", ACTIONS + "/queues/{queue}/pause", actions.pause_queue, Role.OPERATOR),
    Page("POST", ACTIONS + "/queues/{queue}/resume", actions.resume_queue, Role.OPERATOR),
)
