"""What the model is asked for a roadmap, and what that costs. Prints Markdown.

    python bench/tokens.py [INPUT_PRICE OUTPUT_PRICE]

One roadmap on each subject that the offline model knows, made by real processes; the figures are those of the ledger.
Prices in dollars for a million tokens.
"""

import asyncio
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
from cost import TRAFFIC, running
from roadmaps import build

from roadmap.llm.offline.pack import load_index

GPT_5_MINI = (0.25, 2.00)  # openai.com/api/pricing, read in November 2026
MUCH = 3  # times as much written as the offline model writes

# By what the calls were for; of those that made roadmaps until now.
USE = """
SELECT purpose, count(*)::int AS calls, sum(input_tokens)::int AS input, sum(output_tokens)::int AS output
FROM model_calls GROUP BY purpose ORDER BY sum(output_tokens) DESC
"""
CONCEPTS = """
SELECT count(DISTINCT concept_id)::float / count(DISTINCT roadmap_id) FROM content
"""


@dataclass(frozen=True)
class Use:
    """Of one roadmap, the mean."""

    purpose: str
    calls: float
    input: float
    output: float


async def measure() -> tuple[int, float, list[Use]]:
    """How many roadmaps, their concepts, and their calls by purpose."""
    goals = [f"Learn {entry.title.en}" for name, entry in load_index().items() if name != "generic"]
    with tempfile.TemporaryDirectory(prefix="roadmap-bench-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101  as root PostgreSQL runs under an account of its own
        async with running(Path(folder), [("all",)], {}) as (url, meter):
            async with httpx.AsyncClient(base_url=url, timeout=60) as client:
                made = await asyncio.gather(*(build(client, goal) for goal in goals))
            assert all(roadmap["status"] == "succeeded" for roadmap in made)
            db = await asyncpg.connect(meter.database_url)
            rows, concepts = await db.fetch(USE), await db.fetchval(CONCEPTS)
            await db.close()
    uses = [Use(row["purpose"], *(row[name] / len(goals) for name in ("calls", "input", "output"))) for row in rows]
    return len(goals), concepts, uses


def together(uses: list[Use]) -> Use:
    return Use("together", *(sum(getattr(use, name) for use in uses) for name in ("calls", "input", "output")))


def tell(count: int, concepts: float, uses: list[Use], prices: tuple[float, float]) -> None:
    total = together(uses)
    print(f"Means of {count} roadmaps, of {concepts:.0f} concepts each.\n")
    print("| for | calls | tokens in | tokens out | of all out |\n| --- | ---: | ---: | ---: | ---: |")
    for use in [*uses, total]:
        share = use.output / total.output
        print(f"| {use.purpose} | {use.calls:.0f} | {use.input:,.0f} | {use.output:,.0f} | {share:.0%} |")
    heads = " | ".join(f"{traffic.name}, a month" for traffic in TRAFFIC)
    print(f"\n${prices[0]} a million tokens in, ${prices[1]} out:\n")
    print(f"| | one roadmap | {heads} |\n| --- |" + " ---: |" * (1 + len(TRAFFIC)))
    for name, times in (("as measured", 1), ("three times as much written", MUCH)):
        one = (total.input * prices[0] + total.output * times * prices[1]) / 1_000_000
        months = " | ".join(f"${one * traffic.roadmaps * 30:,.0f}" for traffic in TRAFFIC)
        print(f"| {name} | ${one:.2f} | {months} |")


if __name__ == "__main__":
    asked = (float(sys.argv[1]), float(sys.argv[2])) if len(sys.argv) > 2 else GPT_5_MINI
    tell(*asyncio.run(measure()), asked)
