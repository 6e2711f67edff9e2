"""Makes docs/images anew: fifty roadmaps (or as many as said) by a model of which many an answer is cut off, and then a
look at the monitor.

    .venv/bin/roadmap offline-model --port 8911 --latency-ms 250 --faults "truncation=0.6,429=0.02" &
    LLM_BASE_URL=http://127.0.0.1:8911/v1 LLM_API_KEY=none LLM_MODEL=offline LLM_INPUT_PRICE=250000 \\
        LLM_OUTPUT_PRICE=2000000 .venv/bin/roadmap dev --port 8910 &
    .venv/bin/python tests/browser/screenshots.py http://127.0.0.1:8910
"""

import asyncio
import shutil
import sys
from pathlib import Path

import httpx
from playwright.async_api import Browser, async_playwright

FOLDER = Path(__file__).parents[2] / "docs" / "images"
SIZE = {"width": 1280, "height": 860}
MOST_BYTES = 250_000
ROADMAPS = 50
SUBJECTS = (
    "SQL in six weeks, 5 hours a week", "Rust for embedded systems", "linear algebra for machine learning", "Spanish",
    "watercolour painting", "Kubernetes", "music theory", "statistics with R", "TypeScript in depth", "public speaking",
)  # fmt: skip


async def main(base_url: str, roadmaps: int) -> None:
    async with httpx.AsyncClient(base_url=base_url, timeout=30) as api:
        for number in range(roadmaps):
            goal = f"Learn {SUBJECTS[number % len(SUBJECTS)]}"
            (await api.post("/v1/roadmaps", json={"goal": goal, "size": "small"})).raise_for_status()
            await asyncio.sleep(1.5)
        roadmap = await _with_a_failure(api)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for name, path in (("overview", ""), ("failures", "/failures"), ("roadmap", f"/roadmaps/{roadmap}")):
                await _take(browser, f"{base_url}/monitor{path}", scheme, FOLDER / f"{name}-{scheme}.png")
        await browser.close()


async def _with_a_failure(api: httpx.AsyncClient) -> str:
    """A roadmap of which a piece is missing, once its run has ended."""
    for _ in range(120):
        dead = (await api.get("/v1/admin/dead-jobs", params={"limit": 100})).json()["data"]
        for job in dead:
            if job["kind"] and (await api.get(f"/v1/runs/{job['run_id']}")).json()["status"] == "incomplete":
                return str(job["roadmap_id"])
        await asyncio.sleep(1)
    sys.exit("no roadmap is incomplete: does the model fail?")


async def _take(browser: Browser, url: str, scheme: str, image: Path) -> None:
    context = await browser.new_context(color_scheme=scheme, viewport=SIZE, reduced_motion="reduce")  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(url)
    await page.wait_for_selector("#pulse[data-state=live]")
    await page.wait_for_timeout(1_000)
    image.parent.mkdir(exist_ok=True)
    await page.screenshot(path=image)
    await context.close()
    if image.stat().st_size > MOST_BYTES:
        sys.exit(f"{image} has more than {MOST_BYTES} bytes")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else ROADMAPS))
