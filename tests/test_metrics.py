"""What Prometheus is told by a process that does everything; and that page, rules and dashboard speak of that alone."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from subprocess import run
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import httpx
import pytest
import yaml
from inside import open_api, own_database, own_redis
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from stack import api_client, finish, open_stack
from totals import read_totals
from waiting import eventually

from roadmap.database import Database, Pool, open_database
from roadmap.embedded.servers import LocalServers
from roadmap.figures.exposition import Exposition
from roadmap.figures.model import Outcome
from roadmap.metrics import Metrics, ModelCall
from roadmap.monitor.levels import OBJECTIVES
from roadmap.probes.door import Door, create_app
from roadmap.queue.client import open_queue
from roadmap.runtime import Process, open_runtime
from roadmap.settings import Environment, Settings

ROOT = Path(__file__).parent.parent
ALERTS = ROOT / "deploy" / "alerts.yaml"
# What Prometheus adds by itself.
ADDED = {"job", "instance", "le"}


@dataclass(frozen=True, slots=True)
class Live:
    """One process of every role that has made a roadmap: what it told Prometheus, and what is in PostgreSQL."""

    families: dict[str, Metric]
    open_metrics: str
    totals: dict[str, Any]

    def values(self, name: str, **labels: str) -> list[float]:
        samples = [sample for family in self.families.values() for sample in family.samples if sample.name == name]
        return [sample.value for sample in samples if labels.items() <= sample.labels.items()]

    def names(self) -> dict[str, set[str]]:
        """Every sample's name and labels."""
        found: dict[str, set[str]] = {}
        for family in self.families.values():
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
        return found


def parse(text: str) -> dict[str, Metric]:
    return {metric.name: metric for metric in text_string_to_metric_families(text)}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="roadmap-metrics-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
async def live(servers: LocalServers, admin: asyncpg.Connection, template: str, folder: Path) -> AsyncIterator[Live]:
    async with (
        own_database(servers, admin, template, "metrics") as database_url,
        open_stack(folder, database_url, own_redis(servers, 1013), AUTH_MODE="none", LLM_PROVIDER="offline") as stack,
        open_database(Pool(database_url, 2, "test")) as db,
    ):
        child = await stack.launch("all")
        url = f"http://127.0.0.1:{(await child.says('web_ready'))['port']}"
        await child.says("worker_ready")
        async with api_client(url) as client:
            roadmap_id = (await client.post("/v1/roadmaps", json={"goal": "Learn SQL", "size": "small"})).json()["id"]
            await finish(client, roadmap_id)
            await client.get("/nothing/here")
            await client.request("PROPFIND", "/nothing/here")
            text = await eventually(lambda: _when_all_ended(client), "the last job has ended")
            newer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert await stack.terminate("all") == 0  # with the last figures written
        yield Live(parse(text), newer.text, await read_totals(db))


async def _when_all_ended(client: Any) -> str | None:
    """The text once as many jobs have ended as were offered; the run is over a moment before its last job."""
    text: str = (await client.get("/metrics")).text
    counts = [
        re.findall(rf'^{name}{{function="write_concept".*}} (\d+)', text, re.MULTILINE)
        for name in ("roadmap_jobs_offered_total", "roadmap_jobs_total")
    ]
    return text if counts[0] and counts[0] == counts[1] else None


# --- a process that lives -----------------------------------------------------------------------------------------


def test_jobs_are_counted_alike_for_prometheus_and_in_postgresql(live: Live) -> None:
    for function in ("draft", "write_concept"):
        tally = live.totals[function]
        counted = live.values("roadmap_jobs_total", function=function, outcome=Outcome.SUCCEEDED.value)
        assert counted == [tally.succeeded]
        assert tally.offered == live.values("roadmap_jobs_offered_total", function=function)[0] > 0
        assert tally.run.count == live.values("roadmap_job_duration_seconds_count", function=function)[0]
        assert tally.wait.p99 < 30


def test_routes_are_lines_of_the_url_table_and_strangers_make_no_new_ones(live: Live) -> None:
    samples = live.families["http_server_request_duration_seconds"].samples
    routes = {(sample.labels["method"], sample.labels["route"], sample.labels["status"]) for sample in samples}
    assert ("POST", "/v1/roadmaps", "202") in routes
    assert ("GET", "/v1/roadmaps/{roadmap_id}", "200") in routes
    assert {route for route in routes if route[1] == "unmatched"} == {
        ("GET", "unmatched", "404"),
        ("_OTHER", "unmatched", "404"),
    }
    assert all(re.fullmatch(r"(/[a-z0-9._-]+|/\{[a-z_]+(:path)?\})+|unmatched", route) for _, route, _ in routes)


def test_calls_of_the_model_are_told_with_tokens_time_and_cost(live: Live) -> None:
    names = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "offline", "gen_ai_request_model": "offline"}
    calls = live.values("gen_ai_client_operation_duration_seconds_count", **names, error_type="")[0]
    assert calls > 10
    assert live.values("gen_ai_client_token_usage_count", **names, gen_ai_token_type="output") == [calls]
    assert live.values("gen_ai_client_token_usage_sum", gen_ai_token_type="input")[0] > calls
    assert live.values("roadmap_model_cost_micros_total") == [0]  # the built-in model is free


def test_the_service_is_told_as_it_stands(live: Live) -> None:
    for process in ("web", "content", "logs"):
        assert live.values("roadmap_workers", process=process, state="alive") == [1]
        assert live.values("roadmap_worker_heartbeat_age_seconds", process=process)[0] < 60
    assert live.values("roadmap_server_up") == [1, 1]
    assert live.values("roadmap_queue_depth", queue="content") == [0]
    assert live.values("roadmap_dead_jobs") == [0]
    assert 0 < sum(live.values("db_client_connection_count")) <= live.values("db_client_connection_max")[0]


def test_who_understands_it_is_told_in_the_newer_format(live: Live) -> None:
    assert live.open_metrics.endswith("# EOF\n")
    assert "roadmap_jobs_total{" in live.open_metrics


# --- pages, rules, dashboards -------------------------------------------------------------------------------------


def table(live: Live) -> str:
    """The one in docs/metrics.md."""
    lines = ["| metric | type | labels | says |", "| --- | --- | --- | --- |"]
    for family in sorted(live.families.values(), key=lambda family: family.name):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = sorted({label for sample in family.samples for label in sample.labels} - ADDED)
        told = ", ".join(f"`{label}`" for label in labels) or "-"
        lines.append(f"| `{name}` | {family.type} | {told} | {family.documentation} |")
    return "\n".join(lines)


def test_the_page_on_metrics_has_each_of_them_as_it_is(live: Live) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert table(live) in page, f"docs/metrics.md should say:\n{table(live)}"


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def selected(expression: str) -> list[tuple[str, set[str]]]:
    """Every metric that an expression names, with the labels that it looks at."""
    promql = pytest.importorskip("promql_parser")
    found: list[tuple[str, set[str]]] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append((node.name, {matcher.name for matcher in node.matchers.matchers}))

    promql.walk(promql.parse(expression), visit)
    return found


def test_every_rule_speaks_of_metrics_and_labels_that_there_are(live: Live) -> None:
    recorded = {rule["record"]: set[str]() for rule in rules() if "record" in rule}
    known = live.names() | recorded
    for rule in rules():
        named = selected(rule["expr"])
        assert named, rule
        for name, labels in named:
            assert name in known, (rule, name)
            assert labels <= known[name] | ADDED, (rule, name, labels)


def test_every_panel_of_the_dashboard_shows_metrics_and_labels_that_there_are(live: Live) -> None:
    panels = json.loads((ROOT / "deploy" / "grafana.json").read_text(encoding="utf-8"))["panels"]
    known = live.names()
    for panel in panels:
        for target in panel["targets"]:
            for name, labels in selected(target["expr"].replace("$__rate_interval", "5m")):
                assert name in known, (panel["title"], name)
                shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
                assert labels | shown <= known[name] | ADDED, (panel["title"], name)


def test_the_parser_of_rules_would_notice_a_metric_that_is_not_there() -> None:
    found = selected('sum by (queue) (rate(nonsense{queue="a",colour="b"}[5m])) > 1 and roadmap_dead_jobs > 0')
    assert found == [("nonsense", {"queue", "colour"}), ("roadmap_dead_jobs", set())]


def test_every_alert_says_what_is_the_matter_and_what_to_do() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len({rule["alert"] for rule in alerts}) == len(alerts) > 15
    for rule in alerts:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert re.fullmatch(r"docs/troubleshooting\.md#[a-z-]+", rule["annotations"]["runbook"])


def test_work_waits_too_long_for_the_alert_when_it_does_for_the_monitor() -> None:
    limits = dict(
        re.search(r'queue="(\w+)"\}\) > (\d+)', rule["expr"]).groups()  # type: ignore[union-attr]
        for rule in rules()
        if "roadmap_queue_oldest_age_seconds" in rule["expr"]
    )
    assert {queue: int(limit) for queue, limit in limits.items()} == {
        queue.value: objective.red for queue, objective in OBJECTIVES.items()
    }


@pytest.mark.skipif(which("promtool") is None, reason="promtool is not on PATH")
def test_prometheus_takes_the_rules_and_fires_them_when_it_should() -> None:
    for command in (["check", "rules", str(ALERTS)], ["test", "rules", str(ROOT / "tests" / "alerts_test.yaml")]):
        done = run(["promtool", *command], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


# --- who may read, and what is not known --------------------------------------------------------------------------


async def test_with_a_token_only_who_has_it_may_read(database_url: str, redis_url: str) -> None:
    async with open_api(database_url, redis_url, metrics_token=SecretStr("a-token-of-ours")) as api:
        for header in ({}, {"Authorization": "Bearer another"}, {"Authorization": "a-token-of-ours"}):
            refused = await api.nobody.get("/metrics", headers=header)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == 'Bearer realm="metrics"'
        told = await api.nobody.get("/metrics", headers={"Authorization": "Bearer a-token-of-ours"})
        assert told.status_code == 200
        assert "roadmap_build_info" in told.text
        assert "a-token-of-ours" not in told.text


async def test_in_production_the_api_tells_nobody_who_has_no_token(database_url: str, redis_url: str) -> None:
    strict = {"environment": Environment.PRODUCTION, "jwt_secret_key": SecretStr("Kb7mQ2xV9rT4wZ8nL3pJ6sD1fG5hC0yA")}
    async with open_api(database_url, redis_url, **strict) as api:
        assert (await api.nobody.get("/metrics")).status_code == 404
    async with open_api(database_url, redis_url, **strict, metrics_token=SecretStr("t")) as api:
        assert (await api.nobody.get("/metrics")).status_code == 401
        assert (await api.nobody.get("/metrics", headers={"Authorization": "Bearer t"})).status_code == 200


@pytest.mark.parametrize("token", ["", "a-token-of-ours"])
async def test_a_worker_tells_anybody_unless_there_is_a_token(database_url: str, redis_url: str, token: str) -> None:
    settings = Settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        environment=Environment.PRODUCTION,
        metrics_token=SecretStr(token),
    )
    door = Door()
    transport = httpx.ASGITransport(create_app(door))
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
        assert (await client.get("/metrics")).status_code == 503  # it starts, or hibernates
        async with open_runtime(settings, Process.CONTENT) as door.runtime:
            assert (await client.get("/metrics")).status_code == (401 if token else 200)
            told = await client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
        assert "roadmap_queue_depth" in told.text


async def test_what_is_away_has_no_samples_and_the_rest_is_told_in_time(database: Database) -> None:
    metrics = Metrics("test")
    async with open_queue("redis://127.0.0.1:1") as queue, database.transaction() as tx:
        await tx.execute("LOCK TABLE dead_jobs")
        text, _ = await Exposition(metrics, database, queue).render("")
    away = parse(text.decode())
    for name in ("roadmap_dead_jobs", "roadmap_workers", "roadmap_queue_depth", "roadmap_queue_oldest_age_seconds"):
        assert away[name].samples == []
    assert [sample.value for sample in away["roadmap_server_up"].samples] == [0, 0]
    assert away["db_client_connection_count"].samples


async def test_many_scrapers_cost_one_look(database: Database, redis_url: str) -> None:
    async with open_queue(redis_url, timeout=2) as queue:
        exposition = Exposition(Metrics("test"), database, queue)
        texts = [(await exposition.render(""))[0].decode()]
        await database.execute(
            "INSERT INTO dead_jobs (id, queue, job_id, attempts, code, error_class, message, fingerprint)"
            " VALUES (gen_random_uuid(), 'content', 'j', 1, 'internal', 'E', 'm', 'f')"
        )
        texts.append((await exposition.render(""))[0].decode())
        fresh = (await Exposition(Metrics("test"), database, queue).render(""))[0].decode()
    counts = [parse(text)["roadmap_dead_jobs"].samples[0].value for text in (*texts, fresh)]
    assert counts == [0, 0, 1]


def test_a_group_that_is_not_used_is_not_told() -> None:
    metrics = Metrics("test")
    assert "gen_ai_client_operation_duration_seconds" not in {metric.name for metric in metrics.registry.collect()}
    metrics.model.observe(ModelCall("example.org", "m", 1.5, 10, 20, 30, "provider_busy"))
    metrics.look()
    told = {metric.name: metric for metric in metrics.registry.collect()}
    assert "gen_ai_client_operation_duration_seconds" in told
    assert "http_server_request_duration_seconds" not in told
    names = {sample.name for metric in told.values() for sample in metric.samples}
    assert not [name for name in names if name.endswith("_created")]
