"""Batches into PostgreSQL: together while all is well, and no bad entry takes another one with it."""

from collections.abc import Sequence
from uuid import UUID, uuid5

import asyncpg
import structlog

from roadmap.database import Database
from roadmap.errors import Outage
from roadmap.execution_log import cleaning, store
from roadmap.execution_log.batch import Batch

__all__ = ["bury", "write_batches"]

log = structlog.get_logger()

# What the entries themselves are to blame for. Any other refusal (disk full, read-only, no table) is the server's.
_CULPABLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)


async def write_batches(db: Database, batches: Sequence[Batch]) -> int:
    """Writes all of them, each entry once, and returns how many statements it took. Raises Outage; then try again.

    One statement for all; when that is refused one for each batch; then its entries are mended; then halved.
    """
    inside = ",".join(batch.text[1:-1] for batch in batches if batch.text[1:-1].strip())
    if await _insert(db, f"[{inside}]") is None:
        return 1
    statements = 1
    for batch in batches:
        statements += await _write_alone(db, batch)
    return statements


async def bury(db: Database, batch: UUID, raw: bytes, error: str) -> None:
    """Keeps a batch that nobody can read."""
    await _bury(db, store.DeadLetter(batch, batch, raw, error))


async def _write_alone(db: Database, batch: Batch) -> int:
    if await _insert(db, batch.text) is None:
        return 1
    try:
        items = cleaning.parse(batch.text)
    except ValueError as exc:
        await bury(db, batch.id, batch.text.encode("utf-8", "surrogatepass"), str(exc))
        return 2
    entries = cleaning.clean(items)
    statements = 1 + await _write_halves(db, batch.id, entries.good)
    for refusal in entries.refused:
        letter = refusal.id or uuid5(batch.id, refusal.raw.hex())
        await _bury(db, store.DeadLetter(letter, batch.id, refusal.raw, refusal.error))
    return statements + len(entries.refused)


async def _write_halves(db: Database, batch: UUID, entries: list[dict[str, object]]) -> int:
    # The first half first: a batch counts as written when its last entry is there (store.Mark).
    if not entries:
        return 0
    error = await _insert(db, cleaning.dump(entries).decode())
    if error is None:
        return 1
    if len(entries) == 1:
        letter = UUID(str(entries[0]["id"]))
        await _bury(db, store.DeadLetter(letter, batch, cleaning.dump(entries[0]), error))
        return 2
    middle = len(entries) // 2
    first = await _write_halves(db, batch, entries[:middle])
    return 1 + first + await _write_halves(db, batch, entries[middle:])


async def _insert(db: Database, text: str) -> str | None:
    """None when it is written, else why PostgreSQL blames the entries."""
    try:
        await store.insert(db, text)
    except _CULPABLE as exc:
        return f"{type(exc).__name__}: {exc}"
    except asyncpg.PostgresError as exc:
        raise Outage(f"the execution log cannot be written: {type(exc).__name__}") from exc
    return None


async def _bury(db: Database, letter: store.DeadLetter) -> None:
    log.warning("log_entry_refused", batch=str(letter.batch_id), entry=str(letter.id), error=letter.error[:200])
    try:
        await store.add_dead_letter(db, letter)
    except asyncpg.PostgresError as exc:
        raise Outage(f"the dead letters cannot be written: {type(exc).__name__}") from exc
