"""The invariants of the list of faults over what was recorded and what is stored: each function returns complaints."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from signal import SIGCONT, SIGINT, SIGKILL, SIGTERM

from recording import Change, Connection, Mark, Recording, Trouble, setting
from redis.asyncio import Redis
from stack import Child

from roadmap.ids import Prefix, parse_id
from roadmap.runs.model import ACTIVE, MOVES, RunStatus

__all__ = [
    "find_forgotten_work",
    "find_late_exits",
    "find_leftovers",
    "find_missing_ends",
    "find_moves_back",
    "find_repeated_calls",
    "find_too_many_connections",
    "find_unknown_calls",
    "find_wrong_bodies",
    "find_wrong_events",
]

CONTENT_MOVES = {
    "pending": {"pending", "writing"},
    "writing": {"writing", "pending", "ready", "failed"},
    "ready": {"ready"},
    "failed": {"failed"},
}
IN_PROGRESS = {("runs", "drafting"), ("content", "writing")}
SWEEP = 2.0  # seconds between two looks of a sweeper
# What a machine that does ten other things may add.
SLACK = 4.0
# After a fault: back-off of those who look for the server again, and half a lease of patience.
RECOVERY = 6.0

SOON = 300  # seconds
TRIES_KEPT = 88_400  # seconds; arq's
# Where the queues keep their jobs.
JOBS = {"content": ("arq:job:draft:", "arq:job:write:"), "logs": ("arq:job:log:",)}


# ---- I1: every accepted roadmap reaches a final state ----

ENDS = """
SELECT roadmaps.id, runs.status, runs.claimed_by FROM roadmaps JOIN runs ON runs.roadmap_id = roadmaps.id
"""


async def find_missing_ends(db: Connection, accepted: Iterable[str]) -> list[str]:
    rows = await db.fetch(ENDS)
    there = {row["id"] for row in rows}
    lost = [name for name in accepted if parse_id(Prefix.ROADMAP, name) not in there]
    return [f"I1: {name} was accepted and is not there" for name in lost] + [
        f"I1: a run of {row['id']} is {row['status']}, claimed by {row['claimed_by']}"
        for row in rows
        if RunStatus(row["status"]) in ACTIVE or row["claimed_by"]
    ]


# ---- I2: one live row and one body for each version of (roadmap, concept, kind) ----

BODIES = """
SELECT concept_id, kind, status, version, claimed_by,
    ARRAY(SELECT version FROM content_versions AS v WHERE v.roadmap_id = content.roadmap_id
          AND v.concept_id = content.concept_id AND v.kind = content.kind ORDER BY version) AS bodies,
    ARRAY(SELECT (payload->>'version')::int FROM events WHERE events.roadmap_id = content.roadmap_id
          AND type = 'content.ready' AND payload->>'kind' = content.kind
          AND payload->>'concept_id' = 'cpt_' || replace(content.concept_id::text, '-', '') ORDER BY seq) AS told
FROM content
"""


async def find_wrong_bodies(db: Connection) -> list[str]:
    complaints = []
    for row in await db.fetch(BODIES):
        name, versions = f"{row['kind']} of {row['concept_id']}", list(range(1, row["version"] + 1))
        if row["bodies"] != versions or (row["status"] == "ready") > bool(versions):
            complaints.append(f"I2: {name} is {row['status']} at {row['version']} and has bodies {row['bodies']}")
        if row["told"] != versions:
            complaints.append(f"I2: {name} is at {row['version']} and its events tell of {row['told']}")
        if row["claimed_by"] or row["status"] == "writing":
            complaints.append(f"I5: {name} is {row['status']} and claimed by {row['claimed_by']} in the end")
    return complaints


# ---- I4: statuses never go back, versions and claims only up, events have no gap ----

EVENTS = """
SELECT id, event_seq, ARRAY(SELECT seq FROM events WHERE roadmap_id = roadmaps.id ORDER BY seq) AS seqs FROM roadmaps
"""


async def find_wrong_events(db: Connection) -> list[str]:
    return [
        f"I4: the events of {row['id']} are {row['seqs']}, its counter says {row['event_seq']}"
        for row in await db.fetch(EVENTS)
        if row["seqs"] != list(range(1, row["event_seq"] + 1))
    ]


def find_moves_back(changes: Sequence[Change]) -> list[str]:
    complaints = []
    last: dict[str, Change] = {}
    for change in changes:
        known = last.get(change.key)
        if change.before is not None and known is not None and change.before != known.after:
            complaints.append(f"I4: {change.key} was changed unseen before {change.number}")
        complaints += [f"I4: {change.key} {fault} ({change.number})" for fault in _faults(change)]
        last[change.key] = change
    return complaints


def _faults(change: Change) -> Iterator[str]:
    before, after = change.before, change.after
    if before is None:
        return
    if not _may_move(change.kind, before, after):
        yield f"went from {before['status']} to {after['status']}"
    if after["claim"] < before["claim"]:
        yield f"went from claim {before['claim']} to {after['claim']}"
    if change.kind == "content" and after["version"] - before["version"] != (
        before["status"] == "writing" and after["status"] == "ready"
    ):
        yield f"went from version {before['version']} to {after['version']} as it became {after['status']}"


def _may_move(kind: str, before: dict[str, object], after: dict[str, object]) -> bool:
    if kind == "runs":
        moves = {status.value for status in MOVES[RunStatus(str(before["status"]))]}
        return after["status"] == before["status"] or after["status"] in moves
    # A later run makes its pieces anew.
    anew = after["run_id"] != before["run_id"] and after["status"] == "pending"
    return anew or after["status"] in CONTENT_MOVES[str(before["status"])]


# ---- I5: nothing is in progress, or due, for longer than two leases without anybody who looks after it ----


def find_forgotten_work(changes: Sequence[Change], troubles: Sequence[Trouble], lease: float, now: float) -> list[str]:
    """`now`: until when the changes tell."""
    spans = [(trouble.began, trouble.ended + RECOVERY) for trouble in troubles]
    following: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        following[change.key].append(change)
    complaints = []
    for key, history in following.items():
        until = [change.at for change in history[1:]] + [now]
        for change, end in zip(history, until, strict=True):
            alone = _alone_for(change, end, spans)
            if alone > 2 * lease + SWEEP + SLACK:
                complaints.append(f"I5: nobody looked after {key}, {change.after['status']}, for {alone:.1f} s")
    return complaints


def _alone_for(change: Change, end: float, spans: Sequence[tuple[float, float]]) -> float:
    """Seconds since its lease ended, without those in which nobody could be expected to act."""
    due = change.due_at
    if due is None:
        if (change.kind, change.after["status"]) not in IN_PROGRESS:
            return 0
        due = change.at
    return uncovered(max(due, change.at), end, spans)


def uncovered(start: float, end: float, spans: Sequence[tuple[float, float]]) -> float:
    """How much of start..end lies in none of the spans."""
    free, reached = 0.0, start
    for begins, ends in sorted(spans):
        if begins >= end:
            break
        free += max(0, min(begins, end) - reached)
        reached = max(reached, ends)
    return free + max(0, end - reached)


# ---- I6: a question is asked once, and once more for each fault that may have cost its answer ----

QUESTIONS = """
SELECT purpose, run_id, concept_id, kind, array_agg(status ORDER BY created_at) AS outcomes,
    array_agg(claim ORDER BY created_at) AS claims,
    count(*) FILTER (WHERE round = 0 AND status IN ('ok', 'open'))::int AS paid,
    extract(epoch FROM min(created_at))::float AS first, extract(epoch FROM max(created_at))::float AS last,
    coalesce((SELECT failures FROM content WHERE content.run_id = asked.run_id
              AND content.concept_id = asked.concept_id AND content.kind = asked.kind),
             (SELECT failures FROM runs WHERE runs.id = asked.run_id)) AS failures
FROM model_calls AS asked GROUP BY purpose, run_id, concept_id, kind, prompt_hash HAVING count(*) > 1
"""


async def find_repeated_calls(db: Connection, troubles: Sequence[Trouble]) -> list[str]:
    """A call that was refused, cut or not understood is its own excuse; so is a round of repair, and a failure that was
    counted (an answer in good form that broke a rule). Else an answer that was paid for needs a fault."""
    complaints = []
    for row in await db.fetch(QUESTIONS):
        faults = sum(trouble.began <= row["last"] and trouble.ended >= row["first"] - 1 for trouble in troubles)
        if row["paid"] > 1 + faults + row["failures"]:
            name = f"{row['purpose']} of {row['kind'] or 'the draft'} {row['concept_id'] or row['run_id']}"
            asked = f"{row['outcomes']} under the claims {row['claims']} within {row['last'] - row['first']:.1f} s"
            complaints.append(f"I6: {name} was asked {asked}, {faults} faults, last at {row['last']:.1f}")
    return complaints


# ---- I7: connections stay within the budget, at every sample ----


def find_too_many_connections(recording: Recording) -> list[str]:
    hidden = [(t.began, t.ended + RECOVERY) for t in recording.troubles if Mark.HIDES in t.marks]
    return [
        f"I7: {service} had {count} connections of {sample.allowed[service]}, {sample.at - recording.began:.1f} s on"
        for sample in recording.samples
        if not any(began <= sample.at <= ended for began, ended in hidden)
        for service, count in sample.connections.items()
        if count > sample.allowed[service]
    ]


# ---- I8: SIGTERM ends with 0 within the grace ----


def find_late_exits(recording: Recording) -> list[str]:
    return [
        f"I8: {child.name} ({child.pid}) {fault}"
        for child in recording.stack.everyone
        if (fault := _exit_fault(child, recording.ends.get(child.pid)))
    ]


def _exit_fault(child: Child, ended: float | None) -> str:
    got = {number for _, number in child.signals}
    if child.exit_code is None or SIGKILL in got:
        return ""
    if not got & {SIGTERM, SIGINT}:
        return f"ended by itself with {child.exit_code}"
    if child.exit_code != 0:
        return f"ended with {child.exit_code}"
    asked = min(at for at, number in child.signals if number in {SIGTERM, SIGINT})
    awake = max([asked, *(at for at, number in child.signals if number is SIGCONT)])
    grace = float(setting(child, "shutdown_grace"))
    if ended is not None and ended - awake > grace + SLACK:
        return f"took {ended - awake:.1f} s to end, its grace is {grace} s"
    return ""


# ---- I9: the ledger equals the provider's count ----

LEDGER = """
SELECT purpose, count(*) AS calls, count(*) FILTER (WHERE status IN ('open', 'outage')) AS unanswered
FROM model_calls GROUP BY purpose
"""

# The claim that delivered the piece has settled its calls in the same transaction.
UNSETTLED = """
SELECT model_calls.id, purpose FROM model_calls JOIN content USING (run_id, concept_id, kind, claim)
WHERE model_calls.status = 'open' AND content.status IN ('ready', 'failed')
"""


async def find_unknown_calls(db: Connection, counted: Counter[str]) -> list[str]:
    """`counted`: the provider's calls by purpose. A row may be without a call when its process died in between."""
    complaints = []
    ledger = {row["purpose"]: row for row in await db.fetch(LEDGER)}
    for purpose in counted.keys() | ledger.keys():
        calls, unanswered = (ledger[purpose]["calls"], ledger[purpose]["unanswered"]) if purpose in ledger else (0, 0)
        if not calls - unanswered <= counted[purpose] <= calls:
            complaints.append(
                f"I9: {counted[purpose]} calls for {purpose}, {calls} in the ledger, {unanswered} of them unanswered"
            )
    unsettled = await db.fetch(UNSETTLED)
    return complaints + [f"I9: call {row['id']} for {row['purpose']} was never settled" for row in unsettled]


# ---- I10: the queues drain and no key is left behind ----


async def find_leftovers(redis: Redis, queues: Sequence[str], troubles: Sequence[Trouble]) -> list[str]:
    """Of the queues that somebody serves. What may stay: whose Redis this is, and what expires within minutes."""
    # A command that was on its way when its connection broke may be executed after the end of its job: then the count
    # of arq's tries is there again, for a day.
    late = any(Mark.AWAY in trouble.marks for trouble in troubles)
    depths = {queue: await redis.zcard(queue) for queue in queues}
    complaints = [f"I10: {depth} jobs are left on {queue}" for queue, depth in depths.items() if depth]
    keys = [key.decode() async for key in redis.scan_iter()]
    return complaints + [
        f"I10: the key {key} is left behind" for key in keys if not await _may_stay(redis, key, queues, late=late)
    ]


async def _may_stay(redis: Redis, key: str, queues: Sequence[str], *, late: bool) -> bool:
    unserved = tuple(prefix for queue, prefixes in JOBS.items() for prefix in (queue, *prefixes) if queue not in queues)
    if key == "installation" or key in queues or key.startswith(unserved):
        return True
    if late and key.startswith("arq:retry:"):
        return bool(0 < await redis.ttl(key) <= TRIES_KEPT)
    ours = key.startswith("arq:wake:") or not key.startswith("arq:")
    return bool(ours and 0 < await redis.ttl(key) <= SOON)
