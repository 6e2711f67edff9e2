"""I3: what the processes said that they noted, compared with the rows of the execution log, each exactly once.

A process tells each note in its diagnostics as well, so its output is the list of what PostgreSQL must hold. Only what
a process could not yet have handed over when it was killed is excused, and it is counted.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any, TypeAlias

import orjson
from recording import Connection, Mark, Recording, Trouble
from stack import Child

from roadmap.ids import Prefix, show_id

__all__ = ["Comparison", "compare_log"]

# What tells two entries apart: run, concept, step, level, category, text, details, duration. The same may happen twice.
Entry: TypeAlias = tuple[Any, ...]

# A producer sends after 250 ms; the rest is for a loop that is late, and for the offer itself.
UNSENT = 0.25 + 0.5
# What was offered is in PostgreSQL by then, when all is well.
ARRIVAL = 5.0
# A producer whose Redis was emptied offers again, 10 s after the last offer, looking every 2 s.
OFFERED_AGAIN = 10.0 + 2.0 + ARRIVAL
# After Redis is back: the breaker's and the recorder's back-off.
SENT_AGAIN = 5.0 + 2.0

# Written with the change that they tell of, by who has no recorder.
NOT_NOTED = ["what is missing is asked for again", "dead jobs are tried again"]

STORED = """
SELECT run_id, concept_id, step, level, category, message, details, duration_ms, count(*)::int AS times,
    count(DISTINCT id)::int AS ids
FROM execution_log WHERE message <> ALL($1) GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""

REFUSED = """
SELECT id, error FROM log_dead_letters
"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Numbers of entries. `excused`: noted by a process in its last moments, and not stored; `spilled`: on stderr."""

    noted: int
    lost: list[str]
    doubled: list[str]
    unexpected: list[str]
    excused: int
    spilled: int

    @property
    def complaints(self) -> list[str]:
        return [f"I3: {fault}" for fault in (*self.lost, *self.doubled, *self.unexpected)]


async def compare_log(db: Connection, recording: Recording) -> Comparison:
    noted, excusable, spilled = _read_all(recording.stack.everyone, recording.troubles)
    rows = await db.fetch(STORED, NOT_NOTED)
    stored = Counter({_stored_entry(row): row["ids"] for row in rows})
    missing = noted - stored
    excused = missing & (excusable | spilled)
    return Comparison(
        noted=noted.total(),
        lost=[f"lost {count} of {entry}" for entry, count in (missing - excused).items()],
        doubled=[f"stored twice under one id: {row['message']}" for row in rows if row["times"] > row["ids"]],
        unexpected=[
            *(f"stored {count} more than noted of {entry}" for entry, count in (stored - noted).items()),
            *[f"refused by PostgreSQL: {row['id']}, {row['error']}" for row in await db.fetch(REFUSED)],
        ],
        excused=excused.total(),
        spilled=(missing & spilled).total(),
    )


def _read_all(
    children: Iterable[Child], troubles: Sequence[Trouble]
) -> tuple[Counter[Entry], Counter[Entry], Counter[Entry]]:
    """All that was noted; of it what need not be stored; and what was written to stderr instead."""
    noted: Counter[Entry] = Counter()
    excusable: Counter[Entry] = Counter()
    spilled: Counter[Entry] = Counter()
    for child in children:
        spans = list(_excusable(child, troubles))
        for line in _lines(child):
            if "spilled" in line:
                spilled[_spilled_entry(line["spilled"])] += 1
            elif line.get("message") == "noted" and "run" in line:
                entry, at = _noted_entry(line), datetime.fromisoformat(line["timestamp"]).timestamp()
                noted[entry] += 1
                excusable[entry] += any(begins <= at <= ends for begins, ends in spans)
    return noted, excusable, spilled


def _excusable(child: Child, troubles: Sequence[Trouble]) -> Iterator[tuple[float, float]]:
    """Times at which a process that was killed noted what it could not hand over for good."""
    end = _last_breath(child)
    if end is None:
        return
    yield end - UNSENT, end
    for trouble in (trouble for trouble in troubles if trouble.began <= end):
        if Mark.AWAY in trouble.marks and end <= trouble.ended + SENT_AGAIN:
            yield trouble.began - UNSENT, end
        if Mark.FORGETS in trouble.marks and end <= trouble.ended + OFFERED_AGAIN:
            yield trouble.began - ARRIVAL, trouble.ended


def _last_breath(child: Child) -> float | None:
    """When a process that was killed did its last thing: its kill, or the freeze in which it was killed."""
    frozen = None
    for at, number in child.signals:
        if number is SIGSTOP and frozen is None:
            frozen = at
        elif number is SIGCONT:
            frozen = None
        elif number is SIGKILL:
            return frozen or at
    return None


def _lines(child: Child) -> Iterator[dict[str, Any]]:
    # The last one may be cut by a kill.
    for line in child.text().split("\n")[:-1]:
        if line.startswith("{"):
            yield orjson.loads(line)


def _noted_entry(line: dict[str, Any]) -> Entry:
    about = line["run"], line.get("concept"), line.get("step")
    details = line.get("details", {})
    return (*about, line["level"], line["category"], line["text"], _text(details), line.get("duration_ms"))


def _stored_entry(row: Any) -> Entry:
    run, concept = show_id(Prefix.RUN, row["run_id"]), row["concept_id"] and show_id(Prefix.CONCEPT, row["concept_id"])
    told = row["level"], row["category"], row["message"], _text(row["details"]), row["duration_ms"]
    return run, concept, row["step"], *told


def _spilled_entry(entry: dict[str, Any]) -> Entry:
    about = f"run_{entry['run_id'].replace('-', '')}", _concept(entry["concept_id"]), entry["step"]
    return (
        *about,
        *(entry[name] for name in ("level", "category", "message")),
        _text(entry["details"]),
        entry["duration_ms"],
    )


def _concept(text: str | None) -> str | None:
    return text and f"cpt_{text.replace('-', '')}"


def _text(details: object) -> str:
    return orjson.dumps(details, option=orjson.OPT_SORT_KEYS).decode()
