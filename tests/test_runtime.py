"""What a process checks before it serves."""

import pytest

from roadmap.database import Database
from roadmap.errors import Misconfigured
from roadmap.execution_log.model import Category
from roadmap.execution_log.scope import scope
from roadmap.figures.model import Outcome
from roadmap.ids import new_id
from roadmap.metrics import Metrics
from roadmap.queue.client import open_queue
from roadmap.runtime import Process, check_budget, check_pair, open_runtime
from roadmap.settings import Settings


def settings(database_url: str, redis_url: str, **more: object) -> Settings:
    return Settings.model_validate({"database_url": database_url, "redis_url": redis_url, **more})


async def test_a_runtime_opens_on_a_migrated_database(database_url: str, redis_url: str) -> None:
    async with open_runtime(settings(database_url, redis_url), Process.WEB) as runtime:
        assert await runtime.db.fetchval("SELECT current_setting('application_name')") == "roadmap-web"
        assert await runtime.queue.ping()


async def test_a_process_that_opens_another_runtime_counts_on(database_url: str, redis_url: str) -> None:
    metrics, chosen = Metrics("test"), settings(database_url, redis_url)
    for runs in (1, 2):
        async with open_runtime(chosen, Process.CONTENT, metrics=metrics) as runtime:
            runtime.figures.finished("draft", Outcome.SUCCEEDED, 0.1, 0.1)
            with scope(run_id=new_id()):
                runtime.recorder.note(Category.RUN, "begun")
        assert told(metrics, "roadmap_jobs_total") == [runs]
        assert told(metrics, "roadmap_log_rows_written_total") == [runs]  # its recorder writes the rest
        assert told(metrics, "db_client_connection_max") == [runtime.db.size]


def told(metrics: Metrics, name: str) -> list[float]:
    metrics.look()
    samples = [sample for metric in metrics.registry.collect() for sample in metric.samples]
    return [sample.value for sample in samples if sample.name == name]


async def test_pools_that_outgrow_the_budget_are_refused(database: Database, database_url: str, redis_url: str) -> None:
    fits = settings(database_url, redis_url, db_connection_budget=14)
    await check_budget(fits, database)
    with pytest.raises(Misconfigured, match="need up to 14 connections of 13"):
        await check_budget(settings(database_url, redis_url, db_connection_budget=13), database)
    with pytest.raises(Misconfigured, match="lower DB_POOL"):
        await check_budget(settings(database_url, redis_url, db_connection_budget=50, replicas_web=9), database)


async def test_a_budget_above_what_the_server_offers_is_refused(
    database: Database, database_url: str, redis_url: str
) -> None:
    with pytest.raises(Misconfigured, match="the server offers"):
        await check_budget(settings(database_url, redis_url, db_connection_budget=100_000), database)


async def test_a_redis_that_serves_another_database_is_refused(database: Database, redis_url: str) -> None:
    async with open_queue(redis_url) as queue:
        assert await queue.claim("installation", "another") == "another"
        with pytest.raises(Misconfigured, match="REDIS_NAMESPACE"):
            await check_pair(database, queue)
    async with open_queue(redis_url, namespace="mine") as queue:
        await check_pair(database, queue)
        await check_pair(database, queue)


async def test_a_redis_that_is_away_refuses_nobody(database: Database) -> None:
    async with open_queue("redis://127.0.0.1:1") as queue:
        await check_pair(database, queue)


async def test_a_database_that_was_never_migrated_is_refused(database_url: str, redis_url: str) -> None:
    empty = database_url.rpartition("/")[0] + "/postgres"
    with pytest.raises(Misconfigured, match="roadmap migrate"):
        async with open_runtime(settings(empty, redis_url), Process.LOGS):
            pass


def test_the_readme_lists_every_setting() -> None:
    from scripts.settings_table import README, written

    readme = README.read_text(encoding="utf-8")
    assert written(readme) == readme, "run python scripts/settings_table.py"
