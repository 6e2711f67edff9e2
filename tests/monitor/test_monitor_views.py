"""GET /v1/admin/…: what operators see of real rows, through the API."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from inside import own_database, own_redis
from watched import FINGERPRINT, Watched, open_watched

from roadmap.accounts.store import ensure_user
from roadmap.embedded.servers import LocalServers
from roadmap.ids import Prefix, new_id, show_id
from roadmap.queue.model import Job
from roadmap.roadmaps.model import Size, Wishes
from roadmap.runs.service import insert_roadmap


@pytest.fixture(scope="module")
async def watched(servers: LocalServers, admin: asyncpg.Connection, template: str) -> AsyncIterator[Watched]:
    async with (
        own_database(servers, admin, template, "watched") as database_url,
        open_watched(database_url, own_redis(servers, 1010)) as opened,
    ):
        yield opened


async def test_the_overview_tells_what_is_wrong_and_what_goes_on(watched: Watched) -> None:
    seen = await watched.get("/overview")
    assert seen["level"] == "red"
    assert seen["queues"][0]["reasons"] == ["no worker serves it, and work waits"]
    assert seen["reasons"] == [
        "content: no worker serves it, and work waits",
        "logs: no worker serves it",
        "dead jobs wait for an operator",
    ]
    assert (seen["dead_jobs"], [group["code"] for group in seen["failures"]]) == (1, ["model_malformed"])
    assert {count["status"]: count["count"] for count in seen["open_runs"]} == {
        "queued": 0,
        "drafting": 0,
        "writing": 1,
    }
    assert [run["id"] for run in seen["recent_runs"]] == [watched.run_id]
    assert (seen["calls_today"], seen["tokens_today"], seen["cost_today_micros"]) == (3, 450, 6_000)
    assert (len(seen["minutes"]), len(seen["hours"])) == (60, 24)
    assert sum(point["succeeded"] for point in seen["minutes"]) == 15
    assert sum(point["failed"] for point in seen["hours"]) == 5


CUT_OFF = """
INSERT INTO model_calls (id, run_id, claim, purpose, provider, model, prompt_hash, round, status, error,
                         created_at, settled_at)
SELECT gen_random_uuid(), id, 1, 'quiz', 'model.example', 'small', repeat('0', 64), 0, 'outage', 'provider_away',
       now() - make_interval(secs => $1), now()
FROM runs, generate_series(1, $2)
"""


async def test_the_overview_tells_that_the_provider_is_away(database_url: str, redis_url: str) -> None:
    async with open_watched(database_url, redis_url) as own:
        await own.api.db.execute(CUT_OFF, 300, 10)  # they waited long for nobody, and others were answered meanwhile
        mixed = (await own.get("/overview"))["reasons"]
        await own.api.db.execute(CUT_OFF, 0, 10)
        own.api.state.looks.forget()
        reasons = (await own.get("/overview"))["reasons"]
    assert "model: 10 of its latest 13 calls met an outage" in mixed
    assert "model: its provider is away, the latest 20 calls got no answer" in reasons


async def test_a_queue_has_rates_and_what_postgresql_knows(watched: Watched) -> None:
    content, logs = (await watched.get("/queues"))["data"]
    # 30 came within this minute and the one before, and 25 went, of which five come again.
    assert 10 <= content["rate_in"] <= 30
    assert content["rate_out"] / content["rate_in"] == pytest.approx(25 / 30, abs=1e-5)
    # Two pieces are held, three wait; nothing is on Redis, which nobody has told.
    assert (content["open_work"], content["in_flight"], content["depth"]) == (5, 2, 0)
    assert 0 <= content["oldest_open_seconds"] < 60
    assert {logs[name] for name in ("open_work", "in_flight", "oldest_open_seconds")} == {None}


async def test_the_jobs_of_a_queue_show_what_they_carry(watched: Watched) -> None:
    await watched.api.state.runtime.queue.offer("content", [Job("draft", "one", ("a",)), Job("draft", "two", ("b",))])
    await watched.redis.set("arq:in-progress:one", "1", px=60_000)
    await watched.redis.zadd("content", {"lost": 1, "strange": 2})
    await watched.redis.lpush("arq:job:strange", "a key of another type")  # type: ignore[misc]
    seen = await watched.get("/queues/content/jobs")
    assert seen["depth"] == 4
    found = {job["id"]: (job["function"], job["payload"], job["running"]) for job in seen["data"]}
    assert found == {
        "lost": (None, None, False),
        "strange": (None, None, False),
        "one": ("draft", '{"args":["a"]}', True),
        "two": ("draft", '{"args":["b"]}', False),
    }
    assert all(0 <= job["waited_seconds"] < 60 for job in seen["data"] if job["function"])
    await watched.redis.delete("content", "arq:in-progress:one", "arq:job:strange")


async def test_a_worker_shows_what_it_holds_and_for_how_long(watched: Watched) -> None:
    await watched.api.db.execute(WORKER, "content-7")
    await watched.api.db.execute(
        "UPDATE content SET updated_at = updated_at - interval '40 s' WHERE status = 'writing'"
    )

    async def content_7() -> object:
        workers = (await watched.get("/workers"))["data"]
        return next((worker for worker in workers if worker["name"] == "content-7"), None)

    watched.api.state.looks.forget()
    worker = await content_7()
    assert isinstance(worker, dict)
    assert worker["state"] == "alive"
    assert 59 <= worker["uptime_seconds"] < 70
    [job] = worker["jobs"]
    assert (job["function"], job["kinds"], job["attempt"]) == ("write_concept", ["quiz", "tutorial"], 1)
    assert (job["run_id"], job["goal"]) == (watched.run_id, "Learn SQL")
    assert 40 <= job["elapsed_seconds"] < 100


WORKER = """
INSERT INTO workers (name, process, host, pid, version, started_at, running, loop_lag_ms, memory_bytes, connections,
                     connections_used, log_waiting, log_dropped)
VALUES ($1, 'content', 'h', 7, '0', now() - interval '1 minute', 2, 1, 1000, 3, 1, 12, 4)
"""


async def test_a_function_has_quantiles_a_failure_rate_and_a_series(watched: Watched) -> None:
    functions = {one["function"]: one for one in (await watched.get("/functions"))["data"]}
    assert set(functions) == {"draft", "write_concept", "write_log_batch"}
    written = functions["write_concept"]
    assert (written["queue"], written["hour"]["failure_rate"], written["day"]["offered"]) == ("content", 0.25, 30)
    assert 0.002 < written["hour"]["wait_p50"] <= written["hour"]["wait_p99"] < 0.005
    assert 0.02 < written["hour"]["run_p95"] < 0.04
    assert [point["failed"] for point in written["week"]] == [5]
    assert functions["draft"]["hour"]["run_p50"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, True),
        ({"status": "writing", "kind": "create"}, True),
        ({"status": "failed"}, False),
        ({"error_code": "plan_rejected"}, False),
        ({"learner": "ada@EXAMPLE.org"}, True),
        ({"learner": "bob@example.org"}, False),
        ({"learner": "nobody@example.org"}, False),
        ({"learner": "usr_nonsense"}, False),
        ({"created_after": "2026-01-01T00:00:00Z"}, True),
        ({"created_before": "2026-01-01T00:00:00Z"}, False),
    ],
    ids=str,
)
async def test_runs_are_found_by_what_is_known_of_them(watched: Watched, query: dict[str, str], found: bool) -> None:
    page = await watched.get("/runs", **query)
    assert [run["id"] for run in page["data"]] == ([watched.run_id] if found else [])


async def test_runs_are_found_by_their_roadmap_their_own_id_and_their_learners(watched: Watched) -> None:
    [run] = (await watched.get("/runs", roadmap=watched.roadmap_id, run=watched.run_id))["data"]
    assert (run["learner"], run["goal"], run["title"]) == ("Ada@example.org", "Learn SQL", "SQL")
    assert (run["ready"], run["failed"], run["open"]) == (0, 1, 5)
    assert len((await watched.get("/runs", learner=run["user_id"]))["data"]) == 1


async def test_a_run_shows_all_that_was_tried(watched: Watched) -> None:
    seen = await watched.get(f"/runs/{watched.run_id}")
    assert [step["key"] for step in seen["steps"]] == ["intent", "outline"]
    assert [(call["status"], call["error"], call["round"]) for call in seen["calls"]] == [
        ("unusable", "model_malformed", 0),
        ("outage", "provider_busy", 1),
        ("ok", None, 2),
    ]
    assert {call["concept_title"] for call in seen["calls"]} == {"Joins 0"}
    assert all(call["offset_seconds"] >= 0 and call["seconds"] >= 0.9 for call in seen["calls"])
    assert (seen["call_count"], seen["cost_micros"], seen["input_tokens"], seen["output_tokens"]) == (
        3,
        6_000,
        300,
        150,
    )
    failed = [piece for piece in seen["pieces"] if piece["status"] == "failed"]
    assert [(piece["kind"], piece["concept_title"], piece["failures"]) for piece in failed] == [
        ("resources", "Joins 0", 1)
    ]
    assert [dead["code"] for dead in seen["dead_jobs"]] == ["model_malformed"]
    assert "the plan is ready" in [line["message"] for line in seen["log"]]


async def test_a_roadmap_is_a_tree_with_the_state_of_each_concept(watched: Watched) -> None:
    tree = await watched.get(f"/roadmaps/{watched.roadmap_id}")
    [stage] = tree["stages"]
    [module] = stage["modules"]
    assert (stage["title"], module["title"]) == ("Basics", "Tables")
    assert [(one["title"], one["state"], len(one["pieces"])) for one in module["concepts"]] == [
        ("Joins 0", "failed", 3),
        ("Joins 1", "pending", 3),
    ]
    assert (tree["active"], tree["can_complete"], tree["cost_micros"]) == (True, False, 6_000)


LINE = """
INSERT INTO execution_log (id, at, run_id, concept_id, level, category, message, details)
VALUES ($1, now(), $2, $3, 'error', 'content', 'resources failed', '{"code": "model_malformed"}')
"""


async def test_a_dead_job_has_the_last_lines_about_its_concept(database_url: str, redis_url: str) -> None:
    async with open_watched(database_url, redis_url) as own:
        [dead] = (await own.get("/dead-jobs"))["data"]
        await own.api.db.execute(LINE, new_id(), own.run, own.concepts[0])
        [line] = (await own.get(f"/dead-jobs/{dead['id']}"))["log"]
    assert (line["level"], line["message"]) == ("error", "resources failed")
    assert (line["concept_id"], line["details"]) == (dead["concept_id"], {"code": "model_malformed"})


async def test_failures_come_by_fault_with_their_last_day(watched: Watched) -> None:
    seen = await watched.get("/failures")
    assert (seen["groups"], seen["dead_jobs"]) == (1, 1)
    [group] = seen["data"]
    assert (group["fingerprint"], group["message"], group["count"]) == (FINGERPRINT, "no <JSON>", 1)
    assert group["hours"] == [0] * 23 + [1]


async def test_the_model_has_its_cost_by_day_and_roadmap_and_its_refusals_by_hour(watched: Watched) -> None:
    held = {"one": 1e15, "two": 1e15, "of a dead worker": 1}
    await watched.redis.zadd("limits:model.example:small:slots", held)
    seen = await watched.get("/model")
    [day] = seen["days"]
    assert (day["model"], day["calls"], day["cost_micros"]) == ("small", 3, 6_000)
    [model] = seen["models"]
    assert (model["unusable"], model["outages"], model["busy"]) == (1, 0, 1)
    assert (model["latency_p50_ms"], model["latency_p95_ms"]) == (901, 902)
    assert len(seen["hours"]) == 24
    assert seen["hours"][-1] | {"at": None} == {"at": None, "ok": 1, "unusable": 1, "outages": 0, "busy": 1}
    assert [(one["roadmap_id"], one["tokens"]) for one in seen["roadmaps"]] == [(watched.roadmap_id, 450)]
    assert seen["gates"] == [{"name": "model.example:small", "calls": 2}]


UNPRICED = """
INSERT INTO model_calls (id, run_id, claim, purpose, provider, model, prompt_hash, round, status, output_tokens)
VALUES (gen_random_uuid(), $1, 1, 'intent', 'model.example', 'small', repeat('0', 64), 0, 'ok', 1000)
"""


async def test_without_prices_the_roadmaps_with_the_most_tokens_come_first(database_url: str, redis_url: str) -> None:
    async with open_watched(database_url, redis_url) as own:
        user_id = await ensure_user(own.api.db, new_id(), "Bob@example.org")
        longer = await insert_roadmap(own.api.db, user_id, Wishes("Learn Go", size=Size.SMALL))
        await own.api.db.execute(UNPRICED, longer.run_id)
        await own.api.db.execute("UPDATE model_calls SET cost_micros = 0")
        seen = (await own.get("/model"))["roadmaps"]
    assert [(one["roadmap_id"], one["tokens"]) for one in seen] == [
        (show_id(Prefix.ROADMAP, longer.roadmap_id), 1_000),
        (own.roadmap_id, 450),
    ]


async def test_the_system_shows_its_servers(watched: Watched) -> None:
    await watched.get("/system")
    watched.api.state.looks.forget()
    seen = await watched.get("/system")
    database, redis, log = seen["database"], seen["redis"], seen["log"]
    assert 0 < database["connections"] <= database["most_connections"]
    assert "roadmap-web" in {sessions["application"] for sessions in database["sessions"]}
    assert {"runs", "content", "execution_log"} <= {table["name"] for table in database["tables"]}
    assert redis["used_bytes"] > 0
    assert redis["commands_per_second"] > 0
    assert redis["monthly_dollars"] == pytest.approx(redis["commands_per_second"] * 30 * 86_400 * 0.2 / 100_000)
    assert (log["rows_per_minute"], log["jobs"], log["dead_letters"]) == (0.2, 0, 0)
    assert log["newest_at"] is not None


async def test_what_does_not_exist_is_not_found(watched: Watched) -> None:
    for path in (
        f"/runs/run_{'0' * 32}",
        f"/roadmaps/rm_{'0' * 32}",
        "/queues/web/jobs",
        f"/runs/{show_id(Prefix.ROADMAP, watched.roadmap)}",
    ):
        assert (await watched.operator.get(f"/v1/admin{path}")).status_code == 404


async def test_a_learner_sees_none_of_it(watched: Watched) -> None:
    answers = [await watched.api.alice.get(f"/v1/admin/{name}") for name in ("overview", "runs", "system", "audit")]
    assert {answer.status_code for answer in answers} == {403}
