"""Every error that Roadmap raises on purpose.

    RoadmapError
    ├── Refused               the caller must change something; becomes a 4xx
    │   ├── Invalid           422, or 400/413/415 as its status says; carries the places
    │   ├── Unauthorized      401
    │   ├── Forbidden         403, for what only operators may do
    │   ├── NotFound          404, also for what belongs to somebody else
    │   ├── Conflict          409
    │   └── TooMany           429, with retry_in
    ├── Outage                something that we depend on is away; try again in retry_in seconds
    │   ├── NotYet            work that this work builds on is still to come, or our own limits are used up
    │   ├── Busy              the model's provider is there, and asks us to wait
    │   ├── BacklogFull       too much work waits already; nothing was stored, 503
    │   └── AnswerLost        the model was asked, and its answer did not reach us: it may be billed
    │       └── TimedOut      it did not end in time
    ├── Unusable              the model broke its contract; that piece fails
    │   └── BudgetExceeded    there is no money left for it; that piece fails without another try
    ├── Superseded            this job's claim is no longer the row's; stop without writing
    ├── Stalled               this process cannot go on; it ends itself, exit 70
    └── Misconfigured         the settings cannot work; printed at start, exit 2

Anything else is a bug: a traceback in diagnostics, and a 500 or a failed job.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class RoadmapError(Exception):
    """The root of the tree above. `str(error)` is a public message: no secret, no SQL, no traceback."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input: `pointer` is an RFC 6901 JSON pointer, or a parameter's name."""

    pointer: str
    code: str
    detail: str


class Refused(RoadmapError):
    """The caller's fault. `status` is the HTTP status, `code` one of the documented problem codes."""

    status = 400
    code = "refused"


class Invalid(Refused):
    status = 422
    code = "invalid"

    def __init__(self, detail: str, faults: Sequence[Fault] = (), *, status: int = 422, code: str = "invalid") -> None:
        super().__init__(detail)
        self.faults = tuple(faults)
        self.status = status
        self.code = code


class Unauthorized(Refused):
    status = 401
    code = "unauthorized"


class Forbidden(Refused):
    status = 403
    code = "forbidden"


class NotFound(Refused):
    status = 404
    code = "not_found"


class Conflict(Refused):
    status = 409
    code = "conflict"


class TooMany(Refused):
    """`retry_in` is in seconds."""

    status = 429
    code = "too_many"

    def __init__(self, detail: str, retry_in: float) -> None:
        super().__init__(detail)
        self.retry_in = retry_in


class Outage(RoadmapError):
    """Something outside is away or asks us to wait; the same call may succeed after `retry_in` seconds.

    `code` is the problem code with which a request that meets it is answered.
    """

    code = "unavailable"

    def __init__(self, detail: str, retry_in: float = 5.0) -> None:
        super().__init__(detail)
        self.retry_in = retry_in


class NotYet(Outage):
    """Nothing is away: something of our own has to be done first."""


class Busy(Outage):
    """The model's provider answered: too many requests."""


class BacklogFull(Outage):
    """More work would only wait. Nothing is away, and nothing was stored."""

    code = "backlog_full"


class AnswerLost(Outage):
    """The model was asked and no answer of use came back. Nobody told what it cost; it may be billed all the same."""


class TimedOut(AnswerLost):
    """The model was given its whole time and did not end: unlike other outages this may be the question's fault, and
    may cost money each time."""


class Unusable(RoadmapError):
    """The model's answer cannot be used, also after repair. `code` is public and documented with the run errors."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class BudgetExceeded(Unusable):
    """The model is not to blame: no call is begun for work whose budget is spent."""

    def __init__(self, detail: str) -> None:
        super().__init__("budget_exceeded", detail)


class Superseded(RoadmapError):
    """The row was claimed by someone else, or its run was canceled, while this job worked."""


class Stalled(RoadmapError):
    """A loop of this process stands still, and nothing but a new process will help."""


class Misconfigured(RoadmapError):
    """The settings contradict each other or the servers that they name."""
