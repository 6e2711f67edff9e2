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
    │   ├── NotYet            work that this work builds on is still to come
    │   └── TimedOut          it began to answer, or was billed, and did not end in time
    ├── Unusable              the model broke its contract; that piece fails
    ├── Superseded            this job's claim is no longer the row's; stop without writing
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
    """Something outside is away or asks us to wait; the same call may succeed after `retry_in` seconds."""

    def __init__(self, detail: str, retry_in: float = 5.0) -> None:
        super().__init__(detail)
        self.retry_in = retry_in


class NotYet(Outage):
    """Nothing is away: something of our own has to be done first."""


class TimedOut(Outage):
    """The model was given its whole time and did not end: unlike other outages this may be the question's fault, and
    may cost money each time."""


class Unusable(RoadmapError):
    """The model's answer cannot be used, also after repair. `code` is public and documented with the run errors."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Superseded(RoadmapError):
    """The row was claimed by someone else, or its run was canceled, while this job worked."""


class Misconfigured(RoadmapError):
    """The settings contradict each other or the servers that they name."""
