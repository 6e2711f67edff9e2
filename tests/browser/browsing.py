"""Pages in a browser, and what goes wrong in them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from inside import Api
from model_server import Behaviour, Call
from operators import OLGA, PASSWORD
from whole import MALFORMED, Whole, offline, subject

from roadmap.database import Database
from roadmap.dead_jobs.model import Death
from roadmap.dead_jobs.store import Work, bury_job
from roadmap.ids import Prefix, show_id
from roadmap.web.pages.views import VIEWS

__all__ = ["Guarded", "Room", "bury", "fail_a_tutorial", "is_live"]


@dataclass(frozen=True, slots=True)
class Room:
    chromium: Any
    whole: Whole

    @asynccontextmanager
    async def page(self, path: str = "/monitor", *, noisy: bool = False, **options: Any) -> AsyncIterator[Any]:
        """Opened and loaded. What the browser complains of is a fault, unless the test is `noisy` by intent."""
        context = await self.chromium.new_context(base_url=self.whole.stack.web_url, **options)
        page = await context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(f"uncaught: {error}"))
        page.on("console", lambda said: faults.append(said.text) if said.type in {"error", "warning"} else None)
        page.set_default_timeout(20_000)
        try:
            await page.goto(path)
            yield page
            assert noisy or faults == []
        finally:
            await context.close()

    async def paths(self) -> dict[str, str]:
        """An address for every view, of what there is."""
        db = self.whole.db
        dead = await db.fetchrow("SELECT id, fingerprint, run_id FROM dead_jobs ORDER BY id LIMIT 1")
        assert dead is not None
        roadmap = await db.fetchval("SELECT roadmap_id FROM runs WHERE id = $1", dead["run_id"])
        ids = {
            "queue": "content",
            "run_id": show_id(Prefix.RUN, dead["run_id"]),
            "roadmap_id": show_id(Prefix.ROADMAP, roadmap),
            "fingerprint": dead["fingerprint"],
            "dead_job_id": show_id(Prefix.DEAD_JOB, dead["id"]),
        }
        return {view.path: view.path.format(**ids) for view in VIEWS}


@dataclass(frozen=True, slots=True)
class Guarded:
    chromium: Any
    api: Api
    url: str

    @asynccontextmanager
    async def signed_in(self, path: str) -> AsyncIterator[Any]:
        """A page of Olga's, who has signed in to see it."""
        context = await self.chromium.new_context(base_url=self.url)
        page = await context.new_page()
        page.set_default_timeout(20_000)
        try:
            await page.goto(path)
            await page.get_by_label("E-mail address").fill(OLGA)
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Sign in").click()
            yield page
        finally:
            await context.close()

    async def end_sessions(self) -> None:
        """As a new password does; other processes see it after five seconds."""
        for row in await self.api.db.fetch("UPDATE users SET session_generation = session_generation + 1 RETURNING id"):
            self.api.state.roster.forget(row["id"])


async def bury(db: Database, job_id: str, message: str, fingerprint: str = "f" * 16) -> None:
    """A job on a queue that is given up just now."""
    work = Work("content", "unheard_of", {"args": []}, 3, job_id=job_id)
    await bury_job(db, work, Death("unknown_function", "Unusable", message, None, fingerprint))


async def is_live(page: Any) -> None:
    await page.wait_for_selector("#pulse[data-state=live]")


async def fail_a_tutorial(whole: Whole, goal: str = "Learn SQL in six weeks") -> str:
    """A roadmap of which one tutorial could not be written; its id. Afterwards the model is well again."""
    unlucky: list[str] = []

    def choose(call: Call) -> Behaviour:
        if call.purpose == "tutorial" and (not unlucky or subject(call) == unlucky[0]):
            unlucky[:] = [subject(call)]
            return MALFORMED
        return offline()(call)

    whole.model.default = choose
    roadmap_id = await whole.create(goal, size="small")
    roadmap = await whole.finish(roadmap_id)
    assert roadmap["status"] == "incomplete"
    whole.model.default = offline()
    return roadmap_id
