"""What the figures of a database say of each function, whatever its minutes."""

from datetime import timedelta

from roadmap.database import Executor
from roadmap.figures.model import Step, Tally, together
from roadmap.figures.store import read_series

__all__ = ["read_totals"]


async def read_totals(db: Executor) -> dict[str, Tally]:
    """Of the last hour."""
    series = await read_series(db, timedelta(hours=1), Step.MINUTE)
    return {function: together(point.tally for point in points) for function, points in series.items()}
